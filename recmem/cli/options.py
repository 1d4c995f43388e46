"""Options that several commands share, and how a time on the command line is read."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, cast

import typer

from recmem.cli.error_handling import UsageError

ONLINE_TIMEOUT_S = 30.0
"""Timeout for Redis where a command sends or reads much at once."""

MODEL_HELP = (
    "Bundle folder (OUT/bundle of a training run) or its URL on an object store, or models:/recmem@champion in "
    "MLflow's registry."
)
ModelSource = Annotated[str, typer.Option(metavar="PATH|URI", help=MODEL_HELP)]
StorePath = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URL",
        help="Store with the items and events.",
        show_default="the store that the model was trained on",
    ),
]
StoreFolder = Annotated[
    str, typer.Option(metavar="PATH|URL", help="The store: a folder, or the URL of an object store.")
]
OnlineUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Redis with memories and counters from `recmem publish`: redis://host:port/db[#name].",
        show_default="read them from the store",
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Use only events before this time: ISO 8601 (UTC without a zone) or epoch seconds.",
        show_default="just after the last event",
    ),
]
User = Annotated[str, typer.Option(metavar="ID", help="The user's id.")]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="Seed for the bootstrap intervals and for breaking ties.")]
TestQueries = Annotated[
    int,
    typer.Option(
        metavar="N", min=1, help="Test queries to rank, at most; evenly spread over the time after the training data."
    ),
]


class Device(StrEnum):
    """Where a model computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def names_of(option: str) -> tuple[str, ...]:
    """The names of a comma-separated option, without the spaces around them."""
    return tuple(name.strip() for name in option.split(",") if name.strip())


def parse_time(text: str | None, *, option: str) -> datetime | None:
    """The time that an option gives. Raises UsageError if it cannot be read."""
    if text is None:
        return None
    import polars as pl

    from feature_store.timestamps import parse_timestamps

    cell = pl.Series("timestamp", [text])
    times, _ = parse_timestamps(cell)
    if times.null_count():  # not ISO 8601: perhaps epoch seconds
        times, _ = parse_timestamps(cell.cast(pl.Float64, strict=False))
    if times.null_count():
        raise UsageError(
            f"{option}: expected ISO 8601 or epoch seconds, got {text!r}. Give, for example, 2026-01-31T12:00."
        )
    return cast(datetime, times[0])
