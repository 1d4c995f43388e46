"""Options that several commands share, and how a time on the command line is read."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, cast

import typer

ONLINE_TIMEOUT_S = 30.0
"""Timeout for Redis where a command sends or reads much at once."""

ModelSource = Annotated[
    str, typer.Option(help="A bundle folder (OUT/bundle of a run), or models:/recmem@champion from the registry.")
]
StorePath = Annotated[
    str | None, typer.Option(help="Store to read histories from.", show_default="the store it was trained from")
]
StoreFolder = Annotated[str, typer.Option(help="The store: a folder, or the URL of an object store.")]
OnlineUrl = Annotated[
    str | None,
    typer.Option(
        help="Redis with memories and counters published by `recmem publish`: redis://host:port/db[#name].",
        show_default="none: read from the store",
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option(
        help="Only use events before this time: ISO 8601 or epoch seconds.", show_default="just after the last event"
    ),
]
User = Annotated[str, typer.Option(help="The user's id.")]


class Device(StrEnum):
    """Where the match is computed."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def parse_time(text: str | None, *, option: str) -> datetime | None:
    """The time that an option gives; wrong use if it cannot be read."""
    if text is None:
        return None
    import polars as pl

    from feature_store.timestamps import parse_timestamps

    cell = pl.Series("timestamp", [text])
    times, _ = parse_timestamps(cell)
    if times.null_count():  # no ISO 8601: epoch seconds as text?
        times, _ = parse_timestamps(cell.cast(pl.Float64, strict=False))
    if times.null_count():
        raise typer.BadParameter(
            f"{option}: expected ISO 8601 or epoch seconds, got {text!r}. Example: 2026-01-31T12:00."
        )
    return cast(datetime, times[0])
