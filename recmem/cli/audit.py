"""`recmem audit`: are features and scores equal in batch and online, and does nothing leak from the future?"""

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
SHOWN = ("user_id", "timestamp", "item_id", "what", "one", "other")


def audit(
    model: ModelSource,
    store: StorePath = None,
    online: Annotated[
        str | None,
        typer.Option(
            help="Redis server to replay through: redis://host:port/db. What it already holds is not changed.",
            show_default="replay in this process",
        ),
    ] = None,
    queries: Annotated[int, typer.Option(min=1, help="Past queries to replay, at most.")] = 10_000,
    cuts: Annotated[int, typer.Option(min=1, help="Times at which the log is cut for the leak check.")] = 20,
    out: Annotated[
        Path | None, typer.Option(help="Write all differences to this Parquet file.", show_default="none")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed for drawing the queries and cuts.")] = 0,
    moments: Annotated[int | None, typer.Option(min=1, hidden=True, help="Former name of --queries.")] = None,
) -> None:
    """Check that batch and online features are equal, and that nothing leaks from the future.

    Parity: memories, features and scores of past queries are computed from the whole log, and by a process that
    observes event after event; they must be equal. Leaks: events after a time are dropped or moved; nothing at that
    time may change. Exits with 1 if anything differs, and shows the differences.
    """
    from uuid import uuid4

    import numpy as np
    import polars as pl

    import recmem
    from recmem.audit.leaks import leak_audit
    from recmem.audit.parity import replay_audit
    from recmem.audit.snapshots import PastQueries
    from recmem.dataset.shared_memories import RedisMemories

    queries = moments or queries
    loaded = recmem.load(model, store=store)
    generator = np.random.default_rng(seed)
    chosen = PastQueries.sample(loaded.dataset, queries, generator)
    memories = None
    if online is not None:
        # A name of its own, so that what the server already holds stays as it is.
        own_name = f"{online.partition('#')[0]}#audit-{uuid4().hex}"
        memories = RedisMemories(own_name, timeout=ONLINE_TIMEOUT_S)
    progress = Bars()
    try:
        with progress.stage("Replaying queries", len(chosen)) as advance:
            replayed = replay_audit(loaded, chosen, online=memories, on_moment=advance)
    finally:
        if memories is not None:
            memories.clear()
    with progress.stage("Cutting the log", cuts) as advance:
        leaked = leak_audit(loaded, chosen, n_cuts=cuts, generator=generator, on_cut=advance)
    n_pairs = len(chosen.items.values)
    _report(
        replayed, f"batch vs. online: {len(replayed):,} differences in {n_pairs:,} pairs of {len(chosen):,} queries"
    )
    _report(leaked, f"leaks from the future: {len(leaked):,} differences at {cuts} cuts of the log")
    if out is not None:
        parity = replayed.with_columns(audit=pl.lit("replay"), change=pl.lit(None, pl.String))
        leaks = leaked.with_columns(audit=pl.lit("leak")).select(parity.columns)
        pl.concat([parity, leaks]).write_parquet(out)
        say(f"Wrote all differences to {out}")
    if len(replayed) or len(leaked):
        complain("Differences indicate a bug in recmem, or in code that replaces a part of it: please report them.")
        raise typer.Exit(REFUSED)


def _report(differences: pl.DataFrame, headline: str) -> None:
    say(headline)
    if differences.is_empty():
        return
    counts = differences["what"].value_counts(sort=True).rows()
    say(", ".join(f"{name} {n:,}" for name, n in counts))
    rows = [[str(cell) for cell in row] for row in differences.select(SHOWN).head(N_SHOWN).rows()]
    show_table(SHOWN, rows, n_words=len(SHOWN))
