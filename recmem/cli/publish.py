"""`recmem publish`: memories and counters copied from the store's tables to Redis."""

from __future__ import annotations

from typing import Annotated

import typer

from recmem.cli.console import Bars, say
from recmem.cli.options import ONLINE_TIMEOUT_S, ModelSource, StorePath, parse_time


def publish(
    model: ModelSource,
    online: Annotated[
        str, typer.Option(help="Redis server: redis://host:port/db, with #name if it holds several sets of memories.")
    ],
    store: StorePath = None,
    answers_from: Annotated[
        str | None,
        typer.Option(
            help="Earliest time that can be queried: ISO 8601 or epoch seconds.",
            show_default="the longest counter window before the last event",
        ),
    ] = None,
    keep_days: Annotated[
        float, typer.Option(min=0.001, help="Users without events for this long are dropped and read from the tables.")
    ] = 90.0,
) -> None:
    """Publish memories and counters to Redis, for serving processes that share them.

    Repeat it after each append to the store; it can be interrupted and run again. Events that processes have written to
    Redis are kept, and reads go on while it runs. Then load the model with: recmem.load(model, online="redis://...").
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
        done = publish_memories(loaded.dataset, memories, answers_from=since, on_progress=advance)
    horizon = pl.Series([done.horizon]).cast(pl.Datetime("us", "UTC"))[0]
    say(
        f"Published {done.n_users:,} memories, {done.n_items:,} items and {done.n_events:,} events. "
        f"Queries are answered from {horizon} on."
    )
