"""`recmem train`: trains a model on tables, and writes the ledger and the report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recmem.cli.console import Bars, complain, say
from recmem.cli.ingest import Events, Facts, Impressions, Items, Users
from recmem.cli.vector_options import Vectors
from training.cli.interruption import STEPS_ARE_KEPT, interruptible
from training.cli.setting_options import require_tables, settings_given, takes_settings

if TYPE_CHECKING:
    from training.run import TrainingResult

STORE_HELP = "Store to add the tables to and learn from; created if missing."
StoreOfRun = Annotated[str | None, typer.Option(metavar="PATH|URL", help=STORE_HELP, show_default="OUT/store")]


@interruptible(STEPS_ARE_KEPT)
@takes_settings()
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
    facts: Facts = None,
    vectors: Vectors = None,
    store: StoreOfRun = None,
    **options: Any,
) -> None:
    """Train a model and measure its lift.

    The lift is what the text features help to the ranker's metrics on later events. Steps whose inputs have not changed
    since the last run in OUT are skipped. Runs are tracked in MLflow: in OUT/mlflow.db, or at MLFLOW_TRACKING_URI.

    Each table may be Parquet (a file or a folder), CSV, TSV, JSON, Arrow or Delta, facts also N-Triples; text may be
    compressed (.gz, .zst).
    Times are ISO 8601 (UTC without a zone; also 2024/01/31), epoch numbers, or dates in digits (20240131).
    """
    require_tables(items, events, store)
    settings = settings_given(context, options)
    from training.ablation.plan_text import show_plan
    from training.pipeline import run_training
    from training.report.terminal import show_intake

    tables = {"items": items, "events": events, "impressions": impressions, "users": users}
    tables |= {"facts": facts, "vectors": vectors}
    result = run_training(
        **tables,
        out=out,
        store=store,
        config=settings,
        progress=Bars(),
        on_intake=show_intake,
        on_plan=show_plan,
    )
    show_result(result, store or short_path(out / "store"))
    say(f"Report: {short_path(result.report)}\nModel:  {short_path(result.bundle)}\nMLflow: {how_to_open(out)}")


def show_result(result: TrainingResult, store: object) -> None:
    """Prints the figures, what became of the model, and what to know about the data, whose place is `store`."""
    from training.evaluation.ablation import Ablation
    from training.report.terminal import remind_of_lost_rows, show_ablation, show_folds, show_ledger, show_verdict

    if result.ledger.ablation:
        show_ablation(Ablation.from_document(result.ledger.ablation))
    show_ledger(result.ledger)
    if result.folds is not None:
        show_folds(result.folds)
    say(result.encoder)
    show_verdict(result.verdict)
    say(result.registration)
    remind_of_lost_rows(result.intake, store)
    for warning in result.warnings:
        complain(f"Warning: {warning}")


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
