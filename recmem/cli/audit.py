"""`recmem audit`: are the numbers the same online, and does nothing leak from after a moment into it?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.console import Bars, complain, say, show_table
from recmem.cli.error_handling import REFUSED
from recmem.cli.publish import PATIENCE
from recmem.cli.score import ModelSource, StorePath

if TYPE_CHECKING:
    import polars as pl

N_SHOWN = 20
"""Differences that are shown; `--out` keeps them all."""
SHOWN = ("user_id", "timestamp", "item_id", "what")


def audit(
    model: ModelSource,
    store: StorePath = None,
    online: Annotated[
        str | None,
        typer.Option(
            help="A Redis server to replay through, redis://host:port/db; what it holds stays as it is.",
            show_default="in this process",
        ),
    ] = None,
    moments: Annotated[int, typer.Option(min=1, help="Past moments that are replayed, at most.")] = 10_000,
    cuts: Annotated[int, typer.Option(min=1, help="PastQueries that the log is cut at, for the leak audit.")] = 20,
    out: Annotated[
        Path | None, typer.Option(help="A Parquet file for all differences.", show_default="none is written")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the moments that are drawn.")] = 0,
) -> None:
    """Replay the log: the same memories, counters, match and scores online and offline, and none from the future.

    Memories, counters, columns and scores of past moments are built by the offline join and by a process that observes
    event after event. Then everything at or after some moments is dropped, and moved, and nothing at them may change.
    Exits with 1 where anything differs, and shows it.
    """
    from uuid import uuid4

    import numpy as np
    import polars as pl

    import recmem
    from recmem.audit.leaks import LEAK_SIDES, leak_audit
    from recmem.audit.parity import PARITY_SIDES, replay_audit
    from recmem.audit.past_queries import PastQueries
    from recmem.dataset.shared_memories import RedisMemories

    loaded, generator = recmem.load(model, store=store), np.random.default_rng(seed)
    chosen = PastQueries.sample(loaded.dataset, moments, generator)
    progress = Bars()
    memories = (
        None if online is None else RedisMemories(f"{online.partition('#')[0]}#audit-{uuid4().hex}", timeout=PATIENCE)
    )
    try:
        with progress.stage("Replaying moments", len(chosen)) as advance:
            replayed = replay_audit(loaded, chosen, online=memories, on_query=advance)
    finally:
        if memories is not None:
            memories.clear()
    with progress.stage("Cutting the log", cuts) as advance:
        leaked = leak_audit(loaded, chosen, n_cuts=cuts, generator=generator, on_cut=advance)
    n_pairs = len(chosen.items.values)
    _tell(replayed, f"batch vs. online: {len(replayed):,} differences in {n_pairs:,} pairs", PARITY_SIDES)
    _tell(leaked, f"log as it is vs. cut or changed at {cuts} times: {len(leaked):,} differences", LEAK_SIDES)
    if out is not None:
        found = [replayed.with_columns(audit=pl.lit("replay"), change=pl.lit(None, pl.String))]
        found.append(leaked.with_columns(audit=pl.lit("leak")))
        pl.concat(found, how="diagonal").write_parquet(out)
        say(f"All differences: {out}")
    if len(replayed) or len(leaked):
        raise typer.Exit(REFUSED)


def _tell(found: pl.DataFrame, summary: str, sides: tuple[str, str]) -> None:
    say(summary)
    if len(found):
        counts = found["what"].value_counts(sort=True).rows()
        say(", ".join(f"{name} {n:,}" for name, n in counts))
        columns = (*SHOWN, *sides)
        rows = [[str(cell) for cell in row] for row in found.select(columns).head(N_SHOWN).rows()]
        show_table(columns, rows, n_words=len(columns))
        complain(
            "Anything that differs is a fault of recmem, or of code that was put into its place: please report it."
        )
