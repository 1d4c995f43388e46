"""`recmem score`: candidates in, the same rows with their scores out."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.console import Bars, complain, say

if TYPE_CHECKING:
    import polars as pl

    from recmem.serving.model import Model

CHUNK_ROWS = 100_000

ModelSource = Annotated[
    str, typer.Option(help="A bundle folder (OUT/bundle of a run), or models:/recmem@champion from the registry.")
]
StorePath = Annotated[
    str | None, typer.Option(help="The store to read histories from.", show_default="the one that it was trained from")
]


OnlineUrl = Annotated[
    str | None,
    typer.Option(
        help="Memories and counters that `recmem publish` has put there: redis://host:port/db[#name].",
        show_default="the store's",
    ),
]


class Columns(StrEnum):
    """How much is added to each row."""

    RANK = "rank"
    MATCH = "match"


class Device(StrEnum):
    """Where the match is computed."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def score(
    model: ModelSource,
    candidates: Annotated[
        Path, typer.Option(help="user_id, item_id [timestamp, impression_id, ...]: Parquet, file or folder.")
    ],
    out: Annotated[Path, typer.Option(help="The Parquet file to write; it appears when it is whole.")],
    store: StorePath = None,
    online: OnlineUrl = None,
    columns: Annotated[
        Columns, typer.Option(help="match: the match columns alone. rank: also score and rank.")
    ] = Columns.RANK,
    trees_share: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of each query's candidates that LightGBM looks at; see `recmem cascade`."
        ),
    ] = 1.0,
    device: Annotated[Device, typer.Option(help="Where the match is computed.")] = Device.AUTO,
    chunk_rows: Annotated[
        int, typer.Option(min=1, help="Rows in memory at a time; fewer where texts are long.")
    ] = CHUNK_ROWS,
) -> None:
    """Score candidates: every row comes out once, in order, with its columns as they were.

    Memory stays bounded however long the file is, and the rows of a query may stand anywhere in it. Rows without a
    timestamp are scored as of just after the newest event.
    """
    if out.absolute() == candidates.absolute():
        raise typer.BadParameter("--out: expected another file than --candidates.")
    if columns is Columns.MATCH and trees_share < 1:
        raise typer.BadParameter("--trees-share: expected --columns rank beside it, got match, which no tree sees.")
    from recmem.batch.candidate_files import CandidateFiles
    from recmem.batch.score_file import score_file
    from recmem.dataset.unmatched_rows import UnmatchedRows

    source = CandidateFiles.open(candidates)
    loaded = _load(model, store, online, device)
    unmatched: list[UnmatchedRows] = []
    call = loaded.match_with_report
    if columns is Columns.RANK:
        call = partial(loaded.rank_with_report, trees_share=trees_share)

    def scorer(frame: pl.DataFrame) -> pl.DataFrame:
        scored = call(frame)
        unmatched.append(scored.unmatched)
        return scored.frame

    with Bars().stage("Scoring candidates", source.n_rows) as advance:
        score_file(source, out, scorer, chunk_rows=chunk_rows, on_progress=advance)
    say(f"{source.n_rows:,} rows in {out}")
    for sentence in sum(unmatched, UnmatchedRows()).sentences():
        complain(sentence)


def _load(model: str, store: str | None, online: str | None, device: Device) -> Model:
    import recmem

    return recmem.load(model, store=store, online=online, device=device.value)
