"""`recmem audit`: are batch and online features equal, and does anything leak from the future?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.console import Bars, complain, say, show_table
from recmem.cli.error_handling import REFUSED
from recmem.cli.options import ONLINE_TIMEOUT_S, ModelSource, StorePath

if TYPE_CHECKING:
    import polars as pl

N_SHOWN = 20
"""Differences shown; `--out` keeps them all."""
REDIS_EXPIRES_S = 86_400
"""Seconds after which Redis drops what an audit wrote, if the audit is killed: longer than an audit takes."""
SHOWN = ("user_id", "timestamp", "item_id", "what")


def audit(
    model: ModelSource,
    store: StorePath = None,
    online: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Redis server to replay through: redis://host:port/db. The audit does not change what it holds.",
            show_default="replay in this process",
        ),
    ] = None,
    queries: Annotated[int, typer.Option(metavar="N", min=1, help="Past queries to replay, at most.")] = 10_000,
    cuts: Annotated[int, typer.Option(metavar="N", min=1, help="Times to check for leaks.")] = 20,
    out: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Write all differences to this Parquet file.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed for sampling queries and times.")] = 0,
    moments: Annotated[int | None, typer.Option(min=1, hidden=True, help="Former name of --queries.")] = None,
) -> None:
    """Check for leaks and batch/online differences.

    Parity: memories, features and scores of past queries are computed from the whole log, and again by a process that
    observes one event after another. The two must be equal.

    Leaks: events after a time are dropped, or moved and exchanged. Memories, features and scores as of that time must
    not change.

    Any differences are shown, and the exit code is 1.
    """
    from uuid import uuid4

    import numpy as np
    import polars as pl

    import recmem
    from feature_store.redis.key_space import split_url
    from recmem.audit.leaks import LEAK_SIDES, leak_audit
    from recmem.audit.parity import PARITY_SIDES, replay_audit
    from recmem.audit.past_queries import PastQueries
    from recmem.dataset.shared_memories import RedisMemories

    queries = moments or queries
    loaded = recmem.load(model, store=store)
    generator = np.random.default_rng(seed)
    chosen = PastQueries.sample(loaded.dataset, queries, generator)
    memories = None
    if online is not None:
        # A name of its own, so that what the server already holds stays as it is.
        own_name = f"{split_url(online)[0]}#audit-{uuid4().hex}"
        memories = RedisMemories(own_name, timeout=ONLINE_TIMEOUT_S, expire_s=REDIS_EXPIRES_S)
    progress = Bars()
    try:
        with progress.stage("Replaying queries", len(chosen)) as advance:
            replayed = replay_audit(loaded, chosen, online=memories, on_query=advance)
    finally:
        if memories is not None:
            memories.clear()
    with progress.stage("Cutting the log", cuts) as advance:
        leaked = leak_audit(loaded, chosen, n_cuts=cuts, generator=generator, on_cut=advance)
    n_pairs = len(chosen.items.values)
    parity = f"Batch vs. online: {len(replayed):,} differences in {n_pairs:,} pairs of {len(chosen):,} queries."
    _report(replayed, parity, PARITY_SIDES)
    leaks = f"Leaks from the future: {len(leaked):,} differences at {cuts} times."
    _report(leaked, leaks, LEAK_SIDES)
    if out is not None:
        found = [
            replayed.with_columns(audit=pl.lit("replay"), change=pl.lit(None, pl.String)),
            leaked.with_columns(audit=pl.lit("leak")),
        ]
        pl.concat(found, how="diagonal").write_parquet(out)
        say(f"Wrote all differences to {out}.")
    if len(replayed) or len(leaked):
        complain("Differences indicate a bug in recmem, or in code that replaces a part of it. Please report them.")
        raise typer.Exit(REFUSED)


def _report(differences: pl.DataFrame, headline: str, sides: tuple[str, str]) -> None:
    say(headline)
    if differences.is_empty():
        return
    counts = differences["what"].value_counts(sort=True).rows()
    say(f"Differences in {', '.join(f'{name} {n:,}' for name, n in counts)}.")
    columns = (*SHOWN, *sides)
    rows = [[str(cell) for cell in row] for row in differences.select(columns).head(N_SHOWN).rows()]
    show_table(columns, rows, n_words=len(columns))
