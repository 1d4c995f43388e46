"""`recmem train`: from tables to a trained model, a ledger and a report."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated

import typer

from recmem.cli.console import Bars, complain, say
from recmem.cli.ingest import Events, Impressions, Items

MAX_CANDIDATES = 1_000_000
"""A larger number of candidates per query is surely a typing error."""


def train(
    out: Annotated[Path, typer.Option(help="Output folder: bundle/, report.html, ledger.json.")],
    items: Items = None,
    events: Events = None,
    impressions: Impressions = None,
    store: Annotated[
        str | None, typer.Option(help="Store to add the tables to and train on.", show_default="OUT/store")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Text encoder: a local folder or a Hugging Face id.",
            show_default="all-MiniLM-L6-v2 from recmem[minilm], no download",
        ),
    ] = None,
    candidates: Annotated[
        int, typer.Option(min=1, max=MAX_CANDIDATES, help="Items retrieved and ranked per query.")
    ] = 300,
    exclude_seen: Annotated[
        bool, typer.Option(help="Leave items out of the ranking that the user has interacted with.")
    ] = True,
    positive_from: Annotated[float, typer.Option(help="Ratings from this value up are positive.")] = 4.0,
    negative_to: Annotated[float, typer.Option(help="Ratings up to this value are negative.")] = 2.0,
    seed: Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same ledger.")] = 0,
) -> None:
    """Train on an event log, and measure what the match score adds to the ranker.

    Steps whose inputs have not changed since the last run in OUT are skipped. Runs are tracked in MLflow: in
    OUT/mlflow.db, or at MLFLOW_TRACKING_URI.
    """
    if store is None and (items is None or events is None):
        raise typer.BadParameter(
            "--items, --events: expected both, or --store with a store that holds them, got neither. Name the files."
        )
    if not (math.isfinite(positive_from) and math.isfinite(negative_to)):
        raise typer.BadParameter(
            "--positive-from, --negative-to: expected numbers, got NaN or infinity. Give finite ratings."
        )
    from training.api import training_config

    try:
        config = training_config(
            encoder=encoder,
            candidates=candidates,
            exclude_seen=exclude_seen,
            positive_from=positive_from,
            negative_to=negative_to,
            seed=seed,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    from training.pipeline import run_training
    from training.report.terminal import show_ledger

    tables = {"items": items, "events": events, "impressions": impressions}
    result = run_training(**tables, out=out, store=store, config=config, progress=Bars())
    show_ledger(result.ledger)
    if result.events_of_unknown_items:
        complain(
            f"{result.events_of_unknown_items:,} events were not used: their items are not in the items table. "
            "Check that ids are written alike in both tables."
        )
    say(f"Report:  {_short(result.report)}\nModel:   {_short(result.bundle)}\nResults: {how_to_open(out)}")


def how_to_open(out: Path) -> str:
    """Where to see a run in MLflow: the command that opens it, or the server's address."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_short(out / 'mlflow.db')}"
    return uri if uri.startswith("http") else f"mlflow ui --backend-store-uri {uri}"


def _short(path: Path) -> Path:
    """The path relative to the working folder, if it is inside it."""
    absolute, here = path.absolute(), Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
