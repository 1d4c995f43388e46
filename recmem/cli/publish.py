"""`recmem publish`: memories and counters of the tables, put where several processes read them."""

from __future__ import annotations

from typing import Annotated

import typer

from recmem.cli.console import Bars, say
from recmem.cli.explain import parsed
from recmem.cli.score import ModelSource, StorePath

PATIENCE = 30.0
"""Seconds for an answer while much is sent."""


def publish(
    model: ModelSource,
    online: Annotated[
        str, typer.Option(help="The Redis server: redis://host:port/db, with #name where it has several.")
    ],
    store: StorePath = None,
    answers_from: Annotated[
        str | None,
        typer.Option(
            help="The earliest moment that can be asked about, ISO 8601 or epoch seconds.",
            show_default="the longest window before the newest event",
        ),
    ] = None,
    keep_days: Annotated[
        float, typer.Option(min=0.001, help="A user who did nothing for so long is read from the tables.")
    ] = 90.0,
) -> None:
    """Put the memories and counters of a store's tables into Redis, for processes that share them.

    What they have written since stays, and they go on reading meanwhile. Safe to repeat, also where it was killed:
    after each append of the day's events, say. Then: recmem.load(model, online="redis://...").
    """
    import polars as pl

    import recmem
    from recmem.dataset.shared_memories import RedisMemories
    from recmem.dataset.shared_memories import publish as put

    moment = parsed(answers_from)
    since = None if moment is None else int(pl.Series([moment]).dt.epoch("us")[0])
    memories = RedisMemories(online, timeout=PATIENCE, keep_days=keep_days)
    loaded = recmem.load(model, store=store)
    with Bars().stage("Publishing", None) as advance:
        done = put(loaded.dataset, memories, answers_from=since, on_progress=advance)
    reach = pl.Series([done.horizon]).cast(pl.Datetime("us", "UTC"))[0]
    say(f"{done.n_users:,} memories, {done.n_items:,} items and {done.n_events:,} events; answers from {reach} on")
