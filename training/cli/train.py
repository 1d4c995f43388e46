"""`recmem train`: trains a model on tables, and writes the ledger and the report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.console import Bars, complain, say
from recmem.cli.error_handling import UsageError
from recmem.cli.ingest import Events, Features, Impressions, Items, Users
from recmem.cli.options import names_of
from recmem.cli.vector_options import Vectors, VectorsName
from training.cli.config import Assignments, Config
from training.cli.encoder_options import Encoder, MaxTokens, Pooling, TextPrefix
from training.event_options import (
    NegativeEvents,
    NegativeTo,
    NeutralEvents,
    PositionDebiasing,
    PositiveEvents,
    PositiveFrom,
    Weight,
    weights_of,
)

if TYPE_CHECKING:
    from training.config import TrainingConfig
    from training.run import TrainingResult

_LISTS = ("positive_events", "negative_events", "neutral_events", "features")
"""Options that hold names with commas between."""


def train(
    context: typer.Context,
    out: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="Output folder: bundle/ (the model), measured_bundle/ (the model before it was refitted on the whole "
            "log), report.html, ledger.json (the figures), folds.json (those of --folds), recmem.toml (all settings), "
            "work/ (intermediate files) and, by default, store/, mlflow.db and mlartifacts/.",
        ),
    ],
    items: Items = None,
    events: Events = None,
    impressions: Impressions = None,
    users: Users = None,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|URL",
            help="Store to add the tables to and train on; created if missing.",
            show_default="OUT/store",
        ),
    ] = None,
    config: Config = None,
    assignments: Assignments = None,
    encoder: Encoder = None,
    pooling: Pooling = None,
    max_tokens: MaxTokens = None,
    text_prefix: TextPrefix = "",
    vectors: Vectors = None,
    vectors_name: VectorsName = "",
    tune_encoder: Annotated[
        str,
        typer.Option(
            metavar="auto|off|last|full|lora|adalora|ia3|prefix",
            help="What of the text encoder learns from the log, if that pays on a held-out part: nothing (off), its "
            "last layer (last; enough for a CPU), all of it (full), or adapters (the others, with recmem[peft]). "
            "auto: full with a CUDA device, else off.",
        ),
    ] = "auto",
    candidates: Annotated[int, typer.Option(metavar="N", help="Items retrieved and ranked per query.")] = 300,
    exclude_seen: Annotated[
        bool, typer.Option(help="Do not rank items that the user has already interacted with.")
    ] = True,
    positive_from: PositiveFrom = 4.0,
    negative_to: NegativeTo = 2.0,
    positive_events: PositiveEvents = "",
    negative_events: NegativeEvents = "",
    neutral_events: NeutralEvents = "",
    weight: Weight = None,
    features: Features = "",
    position_debiasing: PositionDebiasing = False,
    refit: Annotated[
        bool,
        typer.Option(
            help="Once the model is measured, let the one that ships learn from the whole log. --no-refit: the "
            "measured one ships."
        ),
    ] = True,
    folds: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Measure the same training on N test windows, one after the other; takes up to N times as long.",
        ),
    ] = 1,
    promote: Annotated[
        str,
        typer.Option(
            metavar="better|not-worse|always|never",
            help="When the new version takes the champion's place in MLflow's registry. Both rank the same test "
            "queries; the new one must be significantly better (better) or not significantly worse (not-worse), and "
            "worse on no slice.",
        ),
    ] = "not-worse",
    registered_name: Annotated[
        str, typer.Option(metavar="NAME", help="The registered model in MLflow that gets a new version.")
    ] = "recmem",
    seed: Annotated[
        int,
        typer.Option(metavar="N", help="Random seed. The same tables, options and seed give the same ledger.json."),
    ] = 0,
) -> None:
    """Train a model and measure its lift.

    The lift is what the text features help to the ranker's metrics on later events. Steps whose inputs have not changed
    since the last run in OUT are skipped. Runs are tracked in MLflow: in OUT/mlflow.db, or at MLFLOW_TRACKING_URI.

    Each table may be Parquet (a file or a folder), CSV, TSV, JSON, Arrow or Delta; text may be compressed (.gz, .zst).
    Times are ISO 8601 (UTC without a zone), epoch numbers, or dates in digits (20240131).
    """
    if store is None and (items is None or events is None):
        raise UsageError(
            "--items, --events: expected both, or a --store that holds them, got neither. Give the two tables."
        )
    settings = settings_given(context, config, assignments)
    from training.pipeline import run_training
    from training.report.intake_text import show_intake

    tables = {"items": items, "events": events, "impressions": impressions, "users": users, "vectors": vectors}
    result = run_training(**tables, out=out, store=store, config=settings, progress=Bars(), on_intake=show_intake)
    show_result(result, store or short_path(out / "store"))
    say(f"Report: {short_path(result.report)}\nModel:  {short_path(result.bundle)}\nMLflow: {how_to_open(out)}")


def show_result(result: TrainingResult, store: object) -> None:
    """Prints the figures, what became of the model, and what to know about the data, whose place is `store`."""
    from training.report.intake_text import remind_of_lost_rows
    from training.report.terminal import show_folds, show_ledger, show_verdict

    show_ledger(result.ledger)
    if result.folds is not None:
        show_folds(result.folds)
    say(result.encoder)
    show_verdict(result.verdict)
    say(result.registration)
    remind_of_lost_rows(result.intake, store)
    for warning in result.warnings:
        complain(f"Warning: {warning}")


def settings_given(context: typer.Context, config: Path | None, assignments: list[str] | None) -> TrainingConfig:
    """The configuration of the command's options, --set and --config. Raises UsageError with all faults."""
    from training.configuration.all_settings import OPTIONS, option_name
    from training.configuration.effective import effective_config
    from training.configuration.given_settings import ConfigError

    # Read from the context, which tells an option that was given from one that is left to the file.
    given = {name: context.params[name] for name in OPTIONS if _was_given(context, name)}
    given |= {name: names_of(given[name]) for name in _LISTS if name in given}
    if "weight" in given:
        given["weight"] = weights_of(given["weight"])
    try:
        return effective_config(config, assignments=assignments or (), options=given, label=option_name)
    except ConfigError as error:
        raise UsageError(str(error)) from error


def _was_given(context: typer.Context, name: str) -> bool:
    """Whether the option of this name was given, and not left at its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def how_to_open(out: Path) -> str:
    """How to see a run in MLflow: the command that opens it, or the server's address. Never shows a password."""
    from feature_store.addresses import without_secrets

    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{short_path(out / 'mlflow.db')}"
    shown = without_secrets(uri)
    if uri.startswith("http"):
        return shown
    address = uri if shown == uri else '"$MLFLOW_TRACKING_URI"'
    return f"mlflow ui --backend-store-uri {address}"


def short_path(path: Path) -> Path:
    """The path relative to the working folder, if it is inside it."""
    absolute = path.absolute()
    here = Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
