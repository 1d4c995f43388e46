"""What the report of a run shows beside the ledger: the data, the windows, learning curves, examples, settings."""

from __future__ import annotations

import platform
import shlex
from dataclasses import asdict
from importlib.metadata import version

from feature_store import SignalConfig
from feature_store.timestamps import iso_time
from recmem.ranking.feature_glossary import meanings
from recmem.ranking.feature_table import TEXT_FEATURES
from recmem.serving.champions import REGISTERED_NAME
from recmem.serving.model import Model
from training.config import TrainingConfig
from training.configuration.all_settings import all_settings
from training.configuration.config_text import toml_value, value_of
from training.evaluation.folds import Folds
from training.report.charts import Panel
from training.report.content import ReportContent, Window
from training.report.terminal import DATE_CHARS
from training.run import Run
from training.steps.example_users import example_users
from training.steps.match import read_loss_curves
from training.steps.rank import RankSummary
from training.steps.refit import RefitSummary
from training.tracking.parameters import flat_parameters

PACKAGES = ("recmem", "torch", "transformers", "lightgbm", "polars", "deltalake", "mlflow")
"""Packages whose versions are reported."""


def report_content(
    run: Run, model: Model, importance: dict[str, float], summary: RankSummary, folds: Folds | None = None
) -> ReportContent:
    """All that the report shows beside the ledger; `importance` is that of the ranker with text features."""
    losses = read_loss_curves(run.folder("match"))
    return ReportContent(
        title="recmem: what the match of a text memory adds",
        data=_data_facts(run),
        windows=_windows(run, RefitSummary.read(run)),
        importance=importance,
        feature_meanings=meanings(importance),
        text_features=TEXT_FEATURES,
        curves=[
            Panel("Match module", "part of the fit", "loss", losses),
            Panel("Rankers", "boosting round", "NDCG@10, later queries", summary.curves),
        ],
        examples=list(example_users(run, model)),
        parameters=flat_parameters(asdict(run.config)),
        versions={name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        data_digest=run.pinned.digest(),
        intake=run.intake,
        warnings=(*run.training_data.warnings, *summary.warnings),
        command=train_command(run),
        folds=folds,
    )


def train_command(run: Run) -> str:
    """The `recmem train` command with this run's options; the paths are left for the reader to fill in."""
    config = run.config
    tables = ["--items ITEMS", "--events EVENTS"]
    if len(run.training_data.dataset.impressions):
        tables.append("--impressions IMPRESSIONS")
    if len(run.training_data.dataset.profiles):
        tables.append("--users USERS")
    options = [
        *tables,
        "--out OUT",
        f"--encoder {shlex.quote(config.encoder.name)}",
        f"--pooling {config.encoder.pooling}",
        f"--max-tokens {config.encoder.max_tokens}",
        *([f"--text-prefix {shlex.quote(config.encoder.text_prefix)}"] if config.encoder.text_prefix else []),
        f"--tune-encoder {config.tuning.kind}",
        f"--candidates {config.retrieval.candidates}",
        "--exclude-seen" if config.retrieval.exclude_seen else "--no-exclude-seen",
        f"--positive-from {config.signals.positive_from:g}",
        f"--negative-to {config.signals.negative_to:g}",
        *_event_options(config.signals),
        *([f"--features {shlex.quote(','.join(config.features))}"] if config.features else []),
        *([] if config.refit else ["--no-refit"]),
        *([f"--folds {config.folds}"] if config.folds > 1 else []),
        *([f"--promote {config.promote}"] if config.promote != "not-worse" else []),
        *(
            [f"--registered-name {shlex.quote(config.registered_name)}"]
            if config.registered_name != REGISTERED_NAME
            else []
        ),
        f"--seed {config.seed}",
        *_settings_without_option(config),
    ]
    return " \\\n  ".join(["recmem train", *options])


def _event_options(signals: SignalConfig) -> list[str]:
    named = {
        "positive": signals.positive_events,
        "negative": signals.negative_events,
        "neutral": signals.neutral_events,
    }
    return [f"--{sign}-events {shlex.quote(','.join(names))}" for sign, names in named.items() if names]


def _settings_without_option(config: TrainingConfig) -> list[str]:
    """`--set NAME=VALUE` for each setting that has no option of its own and is not at its default."""
    return [
        f"--set {shlex.quote(f'{each.name}={toml_value(value)}')}"
        for each in all_settings().values()
        if not each.option and (value := value_of(config, each)) != each.default
    ]


def _data_facts(run: Run) -> dict[str, str | int | float]:
    training_data = run.training_data
    dataset = training_data.dataset
    facts: dict[str, str | int | float] = {
        "items": len(dataset.catalogue),
        "users": len(dataset.users),
        "events": len(dataset.log),
        "impression rows": len(dataset.impressions),
        "first event": iso_time(int(dataset.log.times.min()))[:DATE_CHARS],
        "last event": iso_time(int(dataset.log.times.max()))[:DATE_CHARS],
        "text columns": ", ".join(dataset.catalogue.text_columns),
        "text encoder": run.tuned.sentence,
    }
    if len(dataset.profiles):
        facts["users in the users table"] = len(dataset.profiles)
        facts["attributes of users"] = ", ".join(each.name for each in dataset.config.user_features) or "none"
        facts["declared interests"] = dataset.config.interests or "none"
    if training_data.events_of_unknown_items:
        facts["events of unknown items"] = training_data.events_of_unknown_items
    return facts


def _windows(run: Run, refit: RefitSummary) -> list[Window]:
    split = run.training_data.split
    times = run.training_data.dataset.log.times
    first = iso_time(int(times.min()))
    ranker_from = iso_time(split.ranker_from)
    test_from = iso_time(split.test_from)
    last = iso_time(int(times.max()))
    windows = [
        Window("match model", first, ranker_from, "learns from texts"),
        Window("ranker", ranker_from, test_from, "fits the ranker, out of sample"),
        Window("test", test_from, last, "all figures below"),
    ]
    if refit.refitted:
        use = "what the bundle has learned from: it was refitted after the figures were measured"
        windows.append(Window("refit", first, refit.learned_until, use))
    return windows
