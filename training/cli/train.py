"""`recmem train`: from tables to a bundle, a ledger and a report."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated

import typer

from recmem.cli.console import Bars, say
from recmem.cli.ingest import Events, Impressions, Items

MANY = 1_000_000
"""More candidates a query than this are surely a slip."""


def train(
    out: Annotated[Path, typer.Option(help="Folder for what comes out: bundle/, report.html, ledger.json.")],
    items: Items = None,
    events: Events = None,
    impressions: Impressions = None,
    store: Annotated[
        str | None, typer.Option(help="The store to add to and to train from.", show_default="OUT/store")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="A local folder or a Hugging Face id.", show_default="all-MiniLM-L6-v2, no download"),
    ] = None,
    candidates: Annotated[
        int, typer.Option(min=1, max=MANY, help="Items that are retrieved and ranked per query.")
    ] = 300,
    exclude_seen: Annotated[bool, typer.Option(help="Leave out of the ranking what the user already has.")] = True,
    positive_from: Annotated[float, typer.Option(help="Ratings of at least this count for an item.")] = 4.0,
    negative_to: Annotated[float, typer.Option(help="Ratings of at most this count against it.")] = 2.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same ledger.")] = 0,
) -> None:
    """Train on a log, and measure what the match score adds to the ranker.

    Steps whose input has not changed since the last run are not run again. Results are tracked in MLflow: in OUT, or
    where MLFLOW_TRACKING_URI says.
    """
    if store is None and (items is None or events is None):
        raise typer.BadParameter("give --items and --events, or with --store the store that holds them.")
    if not (math.isfinite(positive_from) and math.isfinite(negative_to)):
        raise typer.BadParameter("--positive-from and --negative-to: expected numbers, got NaN or infinity.")
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
    say(f"Report:  {_short(result.report)}\nModel:   {_short(result.bundle)}\nResults: {how_to_open(out)}")


def how_to_open(out: Path) -> str:
    """The one line that shows a run in MLflow: a command, or the server's address."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_short(out / 'mlflow.db')}"
    return uri if uri.startswith("http") else f"mlflow ui --backend-store-uri {uri}"


def _short(path: Path) -> Path:
    """The path from the working folder, where it lies in it."""
    absolute, here = path.absolute(), Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute
