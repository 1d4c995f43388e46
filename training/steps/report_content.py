"""What the report of a run shows beside the ledger: the data, the windows, learning curves, examples, settings."""

from __future__ import annotations

import platform
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version

from feature_store.timestamps import iso_time
from recmem.ranking.feature_glossary import meanings
from recmem.ranking.feature_table import TEXT_FEATURES
from recmem.serving.model import Model
from training.config import TrainingConfig
from training.configuration.config_text import config_toml
from training.evaluation.folds import Folds
from training.evaluation.slices import YOUNG_SHARE
from training.report.charts import Panel
from training.report.content import ReportContent, Window
from training.report.labels import SLICE_NOTES
from training.report.number_text import day_text
from training.run import Run
from training.steps.data_use import data_use
from training.steps.example_users import example_users
from training.steps.match import read_loss_curves
from training.steps.rank import RankSummary
from training.steps.refit import RefitSummary, end_of_learning
from training.steps.train_command import train_command

PACKAGES = ("recmem", "torch", "transformers", "lightgbm", "polars", "deltalake", "mlflow")
"""Packages whose versions are reported."""


def report_content(
    run: Run, model: Model, importance: dict[str, float], summary: RankSummary, folds: Folds | None = None
) -> ReportContent:
    """All that the report shows beside the ledger; `importance` is that of the ranker that ships."""
    losses = read_loss_curves(run.folder("match"))
    return ReportContent(
        title="recmem: report of a training",
        data=_data_facts(run),
        windows=_windows(run, RefitSummary.read(run)),
        importance=importance,
        feature_meanings=meanings(importance),
        text_features=TEXT_FEATURES,
        curves=[
            Panel("Match module", "means of equally many steps", "training loss (nats)", losses),
            Panel("Rankers", "boosting round", "NDCG@10, later queries", summary.curves),
        ],
        examples=list(example_users(run, model)),
        language=run.config.language,
        data_use=data_use(run),
        encoder=run.encoder_sentence,
        slice_notes=_slice_notes(run),
        config=_settings(settled(run.config)),
        versions={name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        data_digest=run.pinned.digest(),
        intake=run.intake,
        warnings=(*run.training_data.warnings, *summary.warnings),
        command=train_command(run),
        folds=folds,
    )


def settled(config: TrainingConfig) -> TrainingConfig:
    """The configuration that trains the same model again: what an ablation has chosen, without the ablation."""
    return replace(config, ablate=False)


def _data_facts(run: Run) -> dict[str, str | int | float]:
    training_data = run.training_data
    dataset = training_data.dataset
    facts: dict[str, str | int | float] = {
        "items": len(dataset.catalogue),
        "users": len(dataset.users),
        "events": len(dataset.log),
        "first event": day_text(iso_time(int(dataset.log.times.min()))),
        "last event": day_text(iso_time(int(dataset.log.times.max()))),
        **_texts_read_by(run.config),
    }
    if len(dataset.profiles):
        facts["users in the users table"] = len(dataset.profiles)
        facts["attributes of users"] = ", ".join(each.name for each in dataset.config.user_features) or "none"
        facts["declared interests"] = dataset.config.interests or "none"
    if training_data.events_of_unknown_items:
        facts["events of unknown items"] = training_data.events_of_unknown_items
    return facts


def _texts_read_by(config: TrainingConfig) -> dict[str, str]:
    return {"vectors of items": config.vectors_name} if config.vectors_name else {"text encoder": config.encoder.name}


def _slice_notes(run: Run) -> dict[str, str]:
    """What belongs to each slice, with the age up to which an item is young in this log."""
    dataset = run.training_data.dataset
    age = timedelta(microseconds=YOUNG_SHARE * dataset.config.counters.span)
    in_days = f"{age / timedelta(days=1):,.0f} days"
    shown = in_days if age >= timedelta(days=2) else f"{age / timedelta(hours=1):,.1f} hours"
    span = "a twelfth of the time from the log's first event to the test"
    return SLICE_NOTES | {"item young": f"first event less than {shown} before the query: {span}"}


def _settings(config: TrainingConfig) -> str:
    """The lines of `recmem.toml` without its comments: sections and settings."""
    lines = config_toml(config).splitlines()
    kept = [line for line in lines if line and not line.startswith("#")]
    return "\n".join(f"\n{line}" if line.startswith("[") else line for line in kept)


def _windows(run: Run, refit: RefitSummary) -> list[Window]:
    split = run.training_data.split
    first = iso_time(int(run.training_data.dataset.log.times.min()))
    ranker_from = iso_time(split.ranker_from)
    test_from = iso_time(split.test_from)
    windows = [
        Window("match module", first, ranker_from, "fits the match module"),
        Window(
            "ranker",
            ranker_from,
            test_from,
            "fits the rankers, with a match module that has not seen these events",
        ),
        Window("test", test_from, iso_time(end_of_learning(run)), "all figures of this report"),
    ]
    if refit.refitted:
        use = "fits the model that ships: it was refitted after the figures were measured"
        windows.append(Window("refit", first, refit.learned_until, use))
    return windows
