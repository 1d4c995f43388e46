"""`recmem publish`: copies memories and counters from the store's tables to Redis."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from recmem.cli.console import Bars, complain, say
from recmem.cli.options import ONLINE_TIMEOUT_S, ModelSource, StorePath, parse_time

MICROSECONDS = 1_000_000
"""In a second."""


def publish(
    model: ModelSource,
    online: Annotated[
        str,
        typer.Option(
            metavar="URL", help="Redis server: redis://host:port/db, with #name if it holds memories of several models."
        ),
    ],
    store: StorePath = None,
    answers_from: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Earliest query time that Redis has to answer, ISO 8601 or epoch seconds. An earlier time takes more "
            "memory.",
            show_default="the last event, less the longest counter window",
        ),
    ] = None,
    keep_days: Annotated[
        float,
        typer.Option(
            metavar="DAYS",
            min=0.001,
            help="Redis drops a user who has had no event for this many days. The user's memory is then read from the "
            "store's tables.",
        ),
    ] = 90.0,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="First remove what the name holds, also if it is of another store or model, and events that processes "
            "have written and the store lacks.",
        ),
    ] = False,
) -> None:
    """Publish memories and counters to Redis.

    Serving processes share them: recmem.load(model, online="redis://..."). Publish again after each append to the
    store. Events that processes have written to Redis are kept, reads continue meanwhile, and an interrupted publish
    can be repeated. If Redis loses data, answers are refused until the next publish.
    """
    import polars as pl

    import recmem
    from recmem.dataset.shared_memories import RedisMemories
    from recmem.dataset.shared_memories import publish as publish_memories

    earliest = parse_time(answers_from, option="--answers-from")
    since = None if earliest is None else int(pl.Series([earliest]).dt.epoch("us")[0])
    memories = RedisMemories(online, timeout=ONLINE_TIMEOUT_S, keep_days=keep_days)
    loaded = recmem.load(model, store=store)
    with Bars().stage("Publishing", None) as advance:
        done = publish_memories(loaded.dataset, memories, answers_from=since, replaces=replace, on_progress=advance)
    for sentence in done.warnings:
        complain(f"Warning: {sentence}")
    say(
        f"Published {done.n_users:,} memories, {done.n_items:,} items and {done.n_events:,} events. "
        f"Redis answers queries from {_utc(done.horizon)} on."
    )


def _utc(time: int) -> str:
    """The first full second at or after a time in microseconds, so that the time shown can be queried."""
    seconds = -(-time // MICROSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
