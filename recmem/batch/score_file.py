"""Candidates from Parquet to Parquet, however many: memory holds a few chunks of rows, not the file.

If the rows of each query are next to each other, the file is read, scored and written from beginning to end. If not,
and it is longer than a chunk, its rows are first spread over smaller files, so that each query can be scored as a
whole (`query_parts`). Their scores are kept on disk by row number (`score_blocks`). Finally the file is read once more
and written with its scores. Reading, scoring and writing overlap.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from glob import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from feature_store import DataError
from feature_store.atomic_files import remove_abandoned
from feature_store.data_errors import ColumnProblem, describe
from feature_store.timestamps import parse_timestamps
from recmem.batch.candidate_files import COMPRESSION, CandidateFiles, as_frame
from recmem.batch.query_parts import whole_queries
from recmem.batch.score_blocks import ROW_NUMBER, ScoreBlocks
from recmem.pipelining import ahead, behind

CHUNK_ROWS = 100_000
"""Rows that are scored together. A query is never cut, so one with more rows makes a larger chunk."""

Scorer = Callable[[pl.DataFrame], pl.DataFrame]
Progress = Callable[[int], None]


def score_file(
    candidates: CandidateFiles,
    out: Path,
    scorer: Scorer,
    *,
    chunk_rows: int = CHUNK_ROWS,
    on_progress: Progress | None = None,
) -> None:
    """Writes the candidates with the columns that `scorer` adds: every row once, in order. `out` is written atomically.

    `scorer` gets polars frames of whole queries and returns the same rows with numeric columns added. It is first
    called without rows, to learn which columns it adds. `on_progress` is called with the number of rows just scored.

    Raises DataError if `out` cannot be written or rows lack an id or a readable time, and whatever `scorer` raises.
    """
    if ROW_NUMBER in candidates.schema.names:
        raise DataError(
            f"candidates.{ROW_NUMBER}: expected a different column name, got a reserved one. Rename the column."
        )
    progress = on_progress or (lambda rows: None)
    with _temporary_folder(out) as folder:
        added = _added(candidates, scorer)
        unfinished = folder / "scores.parquet"
        is_long = candidates.n_rows > chunk_rows
        if is_long:
            # Found now, not after hours of scoring.
            _check_rows(candidates, chunk_rows)
        if not is_long or candidates.is_grouped(chunk_rows):
            _score_in_order(candidates, added, scorer, unfinished, chunk_rows, progress)
        else:
            blocks = ScoreBlocks(folder, added, n_rows=candidates.n_rows, chunk_rows=chunk_rows)
            _score_by_query(candidates, added, scorer, blocks, folder, chunk_rows, progress)
            _write_with_scores(candidates, added, blocks, unfinished, chunk_rows)
        os.replace(unfinished, out)


def _added(candidates: CandidateFiles, scorer: Scorer) -> pl.DataFrame:
    """The columns that `scorer` adds, without rows."""
    given = as_frame(candidates.schema.empty_table())
    added = scorer(given).drop(given.columns)
    taken = [name for name in added.columns if name in candidates.schema.names]
    if taken:
        raise DataError(
            f"candidates.{taken[0]}: expected no column of this name, which scoring adds, got one of "
            f"{candidates.schema.field(taken[0]).type}. Rename or drop it."
        )
    return added


def _score_in_order(
    candidates: CandidateFiles, added: pl.DataFrame, scorer: Scorer, path: Path, chunk_rows: int, progress: Progress
) -> None:
    """Reads, scores and writes chunk by chunk; the rows of each query are next to each other, or all in one chunk."""
    is_long = candidates.n_rows > chunk_rows
    tables = candidates.grouped(chunk_rows) if is_long else (table for table in [candidates.table()])
    schema = _output_schema(candidates, added)
    with (
        _writer(path, schema, added) as writer,
        closing(ahead(tables) if is_long else tables) as chunks,
        behind(writer.write_table) as write,
    ):
        for chunk in chunks:
            scored = scorer(as_frame(chunk))
            columns = [pa.array(scored[name].to_numpy(), from_pandas=True) for name in added.columns]  # NaN is null
            write(pa.Table.from_arrays([*chunk.columns, *columns], schema=schema))
            progress(chunk.num_rows)


def _score_by_query(
    candidates: CandidateFiles,
    added: pl.DataFrame,
    scorer: Scorer,
    blocks: ScoreBlocks,
    folder: Path,
    chunk_rows: int,
    progress: Progress,
) -> None:
    """Scores whole queries in whatever order they come, and keeps the scores in blocks."""
    with (
        blocks.writer() as write_block,
        closing(ahead(whole_queries(candidates, folder, chunk_rows))) as chunks,
        behind(write_block) as write,
    ):
        for chunk in chunks:
            scored = scorer(chunk.drop(ROW_NUMBER))
            write(scored.select(added.columns).with_columns(chunk[ROW_NUMBER]))
            progress(chunk.height)


def _write_with_scores(
    candidates: CandidateFiles, added: pl.DataFrame, blocks: ScoreBlocks, path: Path, chunk_rows: int
) -> None:
    """Reads the file once more, in order, and writes each batch with its scores."""
    schema = _output_schema(candidates, added)
    in_order = blocks.in_order()
    scores = np.empty(0, blocks.record_type)
    with _writer(path, schema, added) as writer, closing(ahead(candidates.batches(chunk_rows))) as batches:
        for batch in batches:
            while len(scores) < batch.num_rows:
                scores = np.concatenate([scores, next(in_order)])
            own = scores[: batch.num_rows]
            scores = scores[batch.num_rows :]
            columns = [pa.array(np.ascontiguousarray(own[name]), from_pandas=True) for name in added.columns]
            writer.write_batch(pa.RecordBatch.from_arrays([*batch.columns, *columns], schema=schema))


def _check_rows(candidates: CandidateFiles, chunk_rows: int) -> None:
    """Raises DataError for the first chunk with unusable rows, with their numbers in the whole file."""
    names = [name for name in ("user_id", "item_id", "timestamp") if name in candidates.schema.names]
    first = 0
    for batch in candidates.batches(chunk_rows, names):
        frame = as_frame(pa.Table.from_batches([batch]))
        earlier_rows = pl.repeat(False, first, dtype=pl.Boolean, eager=True)
        faults = [
            replace(fault, rows=pl.concat([earlier_rows, cast(pl.Series, fault.rows)])) for fault in _faults(frame)
        ]
        if faults:
            raise DataError(describe(faults, table="candidates"))
        first += frame.height


def _faults(frame: pl.DataFrame) -> list[ColumnProblem]:
    remedy = "Fill it in, or remove the row."
    faults = [
        ColumnProblem(name, "an id", "null", remedy, frame[name].is_null())
        for name in ("user_id", "item_id")
        if name in frame.columns and frame[name].null_count()
    ]
    if "timestamp" in frame.columns:
        faults += parse_timestamps(frame["timestamp"])[1]
    return faults


def _output_schema(candidates: CandidateFiles, added: pl.DataFrame) -> pa.Schema:
    fields = [pa.field(column.name, pa.from_numpy_dtype(column.to_numpy().dtype)) for column in added]
    return pa.schema([*candidates.schema, *fields])


def _writer(path: Path, schema: pa.Schema, added: pl.DataFrame) -> pq.ParquetWriter:
    # Scores hardly ever repeat: a dictionary of them would take most of the time, and more space.
    scores = {column.name for column in added if column.dtype.is_float()}
    use_dictionary: bool | list[str] = [name for name in schema.names if name not in scores]
    if any(pa.types.is_nested(field.type) for field in schema):
        # Parquet names the leaves of nested columns otherwise, so columns cannot be listed.
        use_dictionary = True
    return pq.ParquetWriter(path, schema, compression=COMPRESSION, use_dictionary=use_dictionary)


@contextmanager
def _temporary_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out`, removed afterwards. Raises DataError if `out` cannot be written."""
    remedy = "Give a path in a folder that can be written."
    if out.is_dir():
        raise DataError(f"out: expected a file, got the folder {str(out)!r}. {remedy}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(out.parent.glob(f".{escape(out.name)}-*"))
        # If a drive was lost, its loss is the error to report. What cannot be removed now is removed by a later run.
        folder = TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise DataError(
            f"out: expected a file that can be written, got {str(out)!r} ({error.strerror}). {remedy}"
        ) from error
    with folder as name:
        yield Path(name)
