"""`recmem score`: candidates in, the same rows with their scores out."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.console import Bars, complain, say
from recmem.cli.options import Device, ModelSource, OnlineUrl, StorePath

if TYPE_CHECKING:
    import polars as pl

CHUNK_ROWS = 100_000


class Columns(StrEnum):
    """Which columns are added to each row."""

    RANK = "rank"
    MATCH = "match"


def score(
    model: ModelSource,
    candidates: Annotated[
        Path,
        typer.Option(
            help="Parquet file, or folder of them, with user_id and item_id [timestamp, impression_id, history, ...]."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Output Parquet file, written atomically.")],
    store: StorePath = None,
    online: OnlineUrl = None,
    columns: Annotated[
        Columns, typer.Option(help="rank: match columns, score and rank. match: match columns only.")
    ] = Columns.RANK,
    trees_share: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of each query's candidates that LightGBM re-ranks, the best by the linear blend. "
            "`recmem cascade` shows what a smaller share costs.",
        ),
    ] = 1.0,
    device: Annotated[Device, typer.Option(help="Device that computes the match.")] = Device.AUTO,
    chunk_rows: Annotated[
        int, typer.Option(min=1, help="Rows per chunk; lower it if memory is short or texts are long.")
    ] = CHUNK_ROWS,
) -> None:
    """Score candidates from Parquet to Parquet.

    Every input row comes out once, in order, with its own columns and the scores added. Memory use does not grow with
    the file, and the rows of a query may be anywhere in it. Rows without a timestamp are scored as of just after the
    last event.
    """
    if out.absolute() == candidates.absolute():
        raise typer.BadParameter("--out: expected another file than --candidates, got the same. Name a new file.")
    if columns is Columns.MATCH and trees_share < 1:
        raise typer.BadParameter("--trees-share: expected --columns rank with it, got match. Leave one of them out.")
    import recmem
    from recmem.batch.candidate_files import CandidateFiles
    from recmem.batch.score_file import score_file

    source = CandidateFiles.open(candidates)
    loaded = recmem.load(model, store=store, online=online, device=device.value)
    counts: Counter[str] = Counter()
    call = partial(loaded.rank, trees_share=trees_share) if columns is Columns.RANK else loaded.match

    def scorer(frame: pl.DataFrame) -> pl.DataFrame:
        scored = call(frame)
        counts.update(loaded.counts)
        return scored

    with Bars().stage("Scoring candidates", source.n_rows) as advance:
        score_file(source, out, scorer, chunk_rows=chunk_rows, on_progress=advance)
    say(f"Wrote {source.n_rows:,} rows to {out}")
    for what, n_rows in counts.items():
        if n_rows:
            complain(f"{what}: {n_rows:,}")
