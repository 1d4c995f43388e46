"""Candidates from file to file, however many: memory holds a few chunks of rows, not the file.

If the rows of each query are next to each other, the file is read, scored and written from beginning to end. If not,
and it is longer than a chunk, its rows are first spread over smaller files, so that each query can be scored as a
whole (`query_parts`). Their scores are kept on disk by row number (`score_blocks`). Finally the file is read once more
and written with its scores. Reading, scoring and writing overlap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import numpy as np
import polars as pl
import pyarrow as pa

from feature_store import DataError
from feature_store.data_errors import ColumnProblem, describe
from feature_store.timestamps import parse_timestamps
from recmem.batch.candidate_files import CandidateFiles, as_frame
from recmem.batch.candidate_source import candidates_at
from recmem.batch.file_formats import FileFormat, output_format
from recmem.batch.output_file import output_at
from recmem.batch.query_parts import whole_queries
from recmem.batch.row_writers import Write, check_writable, rows_writer
from recmem.batch.score_blocks import ROW_NUMBER, ScoreBlocks
from recmem.pipelining import ahead, behind

CHUNK_ROWS = 100_000
"""Rows that are scored together. A query is never cut, so one with more rows makes a larger chunk."""

Scorer = Callable[[pl.DataFrame], pl.DataFrame]
ScoreEach = Callable[[Iterable[pl.DataFrame]], Generator[pl.DataFrame, None, None]]
Check = Callable[[pl.Series], list[ColumnProblem]]
"""Gives what is wrong with the cells of a column."""
Chunk = TypeVar("Chunk")
Progress = Callable[[int], None]


def score_file(
    candidates: CandidateFiles | str | Path,
    out: str | Path,
    scorer: Scorer,
    *,
    chunk_rows: int = CHUNK_ROWS,
    score_each: ScoreEach | None = None,
    checks: Mapping[str, Check] = MappingProxyType({}),
    on_progress: Progress | None = None,
) -> None:
    """Writes the candidates with the columns that `scorer` adds: every row once, in order. `out` is written atomically.

    Both are paths or URLs of an object store, whose endings say the formats: Parquet, Arrow, CSV or JSON lines. An open
    `CandidateFiles` will do too, see `candidates_at`.

    `scorer` gets polars frames of whole queries and returns the same rows with columns of numbers or text added. It is
    first called without rows, to learn which columns it adds. `score_each` is called once, with the frames in order,
    and gives what `scorer` would for each of them, or the added columns alone: with several processes, see
    `recmem.batch.workers`. By default `scorer` is called for one after the other. `checks`: what `scorer` would find
    wrong with cells of columns of its own, by their names; in a long file all cells are checked before it is scored.
    `on_progress` is called with the number of rows just scored.

    Raises DataError if `out` cannot be written or cannot hold a column, or if rows lack an id or a readable time, and
    whatever `scorer` raises.
    """
    file_format = output_format(out)
    progress = on_progress or (lambda rows: None)
    score_each = score_each or (lambda frames: (scorer(frame) for frame in frames))
    opened = nullcontext(candidates) if isinstance(candidates, CandidateFiles) else candidates_at(candidates)
    with opened as source, output_at(out) as (folder, finish):
        output = _Output(folder / "scores", file_format, _added(source, scorer))
        check_writable(file_format, output.schema(source))
        is_long = source.n_rows > chunk_rows
        if is_long:
            # Found now, not after hours of scoring.
            _check_rows(source, chunk_rows, checks)
        if not is_long or source.is_grouped(chunk_rows):
            _score_in_order(source, output, score_each, chunk_rows, progress)
        else:
            blocks = ScoreBlocks(folder, output.added, n_rows=source.n_rows, chunk_rows=chunk_rows)
            _score_by_query(source, output.added, score_each, blocks, folder, chunk_rows, progress)
            _write_with_scores(source, output, blocks, chunk_rows)
        finish(output.path)


@dataclass(frozen=True, eq=False)
class _Output:
    """The unfinished file."""

    path: Path
    file_format: FileFormat
    added: pl.DataFrame
    """The columns that scoring adds, without rows."""

    def schema(self, candidates: CandidateFiles) -> pa.Schema:
        fields = [pa.field(column.name, _arrow_type(column)) for column in self.added]
        return pa.schema([*candidates.schema, *fields])

    def writer(self, schema: pa.Schema) -> AbstractContextManager[Write]:
        scores = {column.name for column in self.added if column.dtype.is_float()}
        return rows_writer(self.path, self.file_format, schema, scores)


def _added(candidates: CandidateFiles, scorer: Scorer) -> pl.DataFrame:
    """The columns that `scorer` adds, without rows."""
    if ROW_NUMBER in candidates.schema.names:
        raise DataError(
            f"candidates.{ROW_NUMBER}: expected a different column name, got a reserved one. Rename the column."
        )
    given = as_frame(pa.Table.from_batches([], candidates.schema))  # `empty_table` imports pandas
    added = scorer(given).drop(given.columns)
    taken = [name for name in added.columns if name in candidates.schema.names]
    if taken:
        raise DataError(
            f"candidates.{taken[0]}: expected no column of this name, which scoring adds, got one of "
            f"{candidates.schema.field(taken[0]).type}. Rename or drop it."
        )
    return added


def _score_in_order(
    candidates: CandidateFiles, output: _Output, score_each: ScoreEach, chunk_rows: int, progress: Progress
) -> None:
    """Reads, scores and writes chunk by chunk; the rows of each query are next to each other, or all in one chunk."""
    is_long = candidates.n_rows > chunk_rows
    tables = candidates.grouped(chunk_rows) if is_long else (table for table in [candidates.table()])
    schema = output.schema(candidates)
    with (
        output.writer(schema) as write_table,
        closing(ahead(tables) if is_long else tables) as chunks,
        behind(write_table) as write,
        closing(_with_scores(chunks, as_frame, score_each)) as with_scores,
    ):
        for chunk, scored in with_scores:
            columns = [_as_arrow(scored[name]) for name in output.added.columns]
            write(pa.Table.from_arrays([*chunk.columns, *columns], schema=schema))
            progress(chunk.num_rows)


def _score_by_query(
    candidates: CandidateFiles,
    added: pl.DataFrame,
    score_each: ScoreEach,
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
        closing(_with_scores(chunks, lambda chunk: chunk.drop(ROW_NUMBER), score_each)) as with_scores,
    ):
        for chunk, scored in with_scores:
            write(scored.select(added.columns).with_columns(chunk[ROW_NUMBER]))
            progress(chunk.height)


def _with_scores(
    chunks: Iterable[Chunk], frame_of: Callable[[Chunk], pl.DataFrame], score_each: ScoreEach
) -> Generator[tuple[Chunk, pl.DataFrame], None, None]:
    """Each chunk with its scores. Several chunks may be read before the first of them is scored."""
    waiting: deque[Chunk] = deque()

    def frames() -> Iterator[pl.DataFrame]:
        for chunk in chunks:
            waiting.append(chunk)
            yield frame_of(chunk)

    with closing(score_each(frames())) as scores:
        for scored in scores:
            yield waiting.popleft(), scored


def _write_with_scores(candidates: CandidateFiles, output: _Output, blocks: ScoreBlocks, chunk_rows: int) -> None:
    """Reads the file once more, in order, and writes each batch with its scores."""
    schema = output.schema(candidates)
    in_order = blocks.in_order()
    scores = np.empty(0, blocks.row_type)
    with output.writer(schema) as write, closing(ahead(candidates.batches(chunk_rows))) as batches:
        for batch in batches:
            while len(scores) < batch.num_rows:
                scores = np.concatenate([scores, next(in_order)])
            own = scores[: batch.num_rows]
            scores = scores[batch.num_rows :]
            columns = [
                pa.array(np.ascontiguousarray(own[column.name]), _arrow_type(column), from_pandas=True)
                for column in output.added
            ]
            write(pa.Table.from_arrays([*batch.columns, *columns], schema=schema))


def _check_rows(candidates: CandidateFiles, chunk_rows: int, checks: Mapping[str, Check]) -> None:
    """Raises DataError for the first chunk with unusable rows, with their numbers in the whole file."""
    checks = {name: check for name, check in {**_CHECKS, **checks}.items() if name in candidates.schema.names}
    first = 0
    for batch in candidates.batches(chunk_rows, list(checks)):
        frame = as_frame(pa.Table.from_batches([batch]))
        faults = [fault for name, check in checks.items() for fault in check(frame[name])]
        if faults:
            earlier_rows = pl.repeat(False, first, dtype=pl.Boolean, eager=True)
            in_file = [
                fault if fault.rows is None else replace(fault, rows=pl.concat([earlier_rows, fault.rows]))
                for fault in faults
            ]
            raise DataError(describe(in_file, table="candidates"))
        first += frame.height


def _missing_ids(ids: pl.Series) -> list[ColumnProblem]:
    remedy = "Fill it in, or remove the row."
    return [ColumnProblem(ids.name, "an id", "null", remedy, ids.is_null())] if ids.null_count() else []


_CHECKS: dict[str, Check] = {
    "user_id": _missing_ids,
    "item_id": _missing_ids,
    "timestamp": lambda cells: parse_timestamps(cells)[1],
}
"""Checks of the cells that every scorer reads."""


def _as_arrow(column: pl.Series) -> pa.Array:
    """The column with null in place of NaN. Not `pyarrow.array`, which imports pandas."""
    known = column.fill_nan(None) if column.dtype.is_float() else column
    return known.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(_arrow_type(column))


def _arrow_type(column: pl.Series) -> pa.DataType:
    return pa.string() if column.dtype == pl.String else pa.from_numpy_dtype(column.to_numpy().dtype)
