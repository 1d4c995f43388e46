"""Candidates from Parquet to Parquet, however many: no more rows in memory than a few chunks hold.

Where the rows of each query stand together, the file is read, scored and written from its begin to its end. Another one
that is longer than a chunk is first spread over smaller files by a hash of the query, so that each query is scored as a
whole wherever its rows stand. Scores are then laid down on disk, each with its row's place; at last the file is read
once more, in order, and written with its scores beside it. FeatureSnapshot, scoring and writing go on side by side.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from glob import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, cast

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from feature_store import DataError
from feature_store.atomic_files import remove_abandoned
from feature_store.data_errors import ColumnProblem, describe
from feature_store.timestamps import parse_timestamps
from recmem.batch.candidate_files import CandidateFiles, as_frame, query_hashes
from recmem.pipelining import ahead, behind

CHUNK_ROWS = 100_000
"""Rows that are scored together; a query is never cut, so that one of more rows makes a larger chunk."""
FAN_OUT = 64
"""Files that a too long one is spread over, at most; each may be spread again."""
MOST_BLOCKS = 256
"""Files that scores are laid down in, at most: each is read as a whole, and open while they are."""
MAX_SPREADS = 3
"""Times that a file is spread again; what is still too long then is one query, or few."""

_PLACE = "recmem row number"
_COMPRESSION = "zstd"

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
    """Writes the candidates with the columns that `scorer` adds: every row once, in order; `out` appears when whole.

    `scorer` gets polars frames that hold whole queries and gives the same rows with numeric columns added. What it adds
    to no rows decides on the columns. `on_progress` is told the number of rows just scored.

    Raises DataError when `out` cannot be written, for rows of a long file without id or time, and what `scorer` raises.
    """
    if _PLACE in candidates.schema.names:
        raise DataError(f"candidates.{_PLACE}: expected another name, got one that is used here. Rename the column.")
    with _workplace(out) as folder:
        added = scorer(as_frame(candidates.schema.empty_table())).drop(candidates.schema.names)
        if candidates.n_rows > chunk_rows:
            _check_rows(candidates, chunk_rows)
        unfinished, progress = folder / "scores.parquet", on_progress or (lambda rows: None)
        if candidates.n_rows <= chunk_rows or candidates.is_grouped(chunk_rows):
            _score_in_order(candidates, added, scorer, unfinished, chunk_rows, progress)
        else:
            block_rows = _lay_down(candidates, added, scorer, folder, chunk_rows, progress)
            _write(candidates, added, folder, block_rows, unfinished, chunk_rows)
        os.replace(unfinished, out)


def _score_in_order(
    candidates: CandidateFiles, added: pl.DataFrame, scorer: Scorer, path: Path, chunk_rows: int, progress: Progress
) -> None:
    is_long = candidates.n_rows > chunk_rows
    tables = candidates.grouped(chunk_rows) if is_long else (table for table in [candidates.table()])
    schema = _schema(candidates, added)
    with (
        _writer(path, schema, added) as writer,
        closing(ahead(tables) if is_long else tables) as chunks,
        behind(writer.write_table) as put,
    ):
        for chunk in chunks:
            scored = scorer(as_frame(chunk))
            columns = [pa.array(scored[name].to_numpy()) for name in added.columns]
            put(pa.Table.from_arrays([*chunk.columns, *columns], schema=schema))
            progress(chunk.num_rows)


def _records(added: pl.DataFrame) -> np.dtype[Any]:
    return np.dtype([(_PLACE, np.int64), *((column.name, column.to_numpy().dtype) for column in added)])


def _lay_down(
    candidates: CandidateFiles, added: pl.DataFrame, scorer: Scorer, folder: Path, chunk_rows: int, progress: Progress
) -> int:
    """Writes the scores of all rows to files of so many consecutive rows each, with the rows' places; their number."""
    dtype, block_rows = _records(added), max(chunk_rows, -(-candidates.n_rows // MOST_BLOCKS))
    with ExitStack() as stack:
        files: dict[int, BinaryIO] = {}

        def lay_down(scored: pl.DataFrame) -> None:
            records = np.empty(len(scored), dtype)
            for name in records.dtype.names or ():
                records[name] = scored[name].to_numpy()
            numbers, begins = np.unique(records[_PLACE] // block_rows, return_index=True)
            for number, part in zip(numbers.tolist(), np.split(records, begins[1:]), strict=False):
                if number not in files:
                    files[number] = stack.enter_context(_block(folder, number).open("wb"))
                files[number].write(part.view(np.uint8).data)

        # Read, score and lay down go on at once; the scorer alone runs in this thread.
        with closing(ahead(_whole_queries(candidates, folder, chunk_rows))) as chunks, behind(lay_down) as put:
            for chunk in chunks:
                put(scorer(chunk.drop(_PLACE)).select(added.columns).with_columns(chunk[_PLACE]))
                progress(chunk.height)
    return block_rows


def _block(folder: Path, number: int) -> Path:
    return folder / f"block-{number}"


def _check_rows(candidates: CandidateFiles, chunk_rows: int) -> None:
    """Refuses a file before any of it is scored, by the numbers of the rows of its first chunk that has bad ones."""
    names = [name for name in ("user_id", "item_id", "timestamp") if name in candidates.schema.names]
    first = 0
    for batch in candidates.batches(chunk_rows, names):
        frame = as_frame(pa.Table.from_batches([batch]))
        before = pl.repeat(False, first, dtype=pl.Boolean, eager=True)
        faults = [replace(fault, rows=pl.concat([before, cast(pl.Series, fault.rows)])) for fault in _faults(frame)]
        if faults:
            raise DataError(describe(faults, table="candidates"))
        first += frame.height


def _faults(frame: pl.DataFrame) -> list[ColumnProblem]:
    remedy = "Fill it in, or leave the row out."
    ids = [name for name in ("user_id", "item_id") if name in frame.columns and frame[name].null_count()]
    faults = [ColumnProblem(name, "an id", "null", remedy, frame[name].is_null()) for name in ids]
    return faults + (parse_timestamps(frame["timestamp"])[1] if "timestamp" in frame.columns else [])


def _whole_queries(
    source: CandidateFiles, folder: Path, chunk_rows: int, n_spread: int = 0
) -> Generator[pl.DataFrame, None, None]:
    """Frames of whole queries, with the rows' places in the column `_PLACE`."""
    if source.n_rows <= chunk_rows or n_spread == MAX_SPREADS:
        frame = as_frame(source.table())
        yield frame if _PLACE in frame.columns else frame.with_row_index(_PLACE)
        return
    n_parts = min(2 * -(-source.n_rows // chunk_rows), FAN_OUT)
    for part in _spread(source, folder, n_parts, chunk_rows, n_spread):
        smaller = CandidateFiles.open(part)
        yield from _whole_queries(smaller, folder, chunk_rows, n_spread + 1)
        part.unlink()


def _spread(source: CandidateFiles, folder: Path, n_parts: int, chunk_rows: int, n_spread: int) -> list[Path]:
    """The source's rows in files, all rows of a query in one of them and in their order."""
    writers: dict[Path, pq.ParquetWriter] = {}
    first = 0
    with ExitStack() as stack:
        for batch in stack.enter_context(closing(ahead(source.batches(chunk_rows)))):
            placed = batch
            if _PLACE not in batch.schema.names:
                places = pa.array(np.arange(first, first + batch.num_rows), pa.int64())
                placed = pa.RecordBatch.from_arrays([*batch.columns, places], [*batch.schema.names, _PLACE])
            first += batch.num_rows
            for number, rows in _by_query(placed, n_parts, seed=n_spread):
                path = folder / f"{n_spread}-{number}.parquet"
                if path not in writers:
                    writer = pq.ParquetWriter(path, rows.schema, compression=_COMPRESSION)
                    writers[path] = stack.enter_context(writer)
                writers[path].write_batch(rows)
    return sorted(writers)


def _by_query(batch: pa.RecordBatch, n_parts: int, *, seed: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    part = query_hashes(batch, seed=seed) % n_parts
    order = np.argsort(part, kind="stable")
    numbers, starts = np.unique(part[order], return_index=True)
    ordered = batch.take(pa.array(order))
    for number, start, end in zip(numbers, starts, [*starts[1:], len(part)], strict=True):
        yield int(number), ordered.slice(start, end - start)


def _writer(path: Path, schema: pa.Schema, added: pl.DataFrame) -> pq.ParquetWriter:
    # Scores are hardly ever the same twice: a dictionary of them takes most of the time, and more room.
    scores = {column.name for column in added if column.dtype.is_float()}
    repeated: bool | list[str] = [name for name in schema.names if name not in scores]
    if any(pa.types.is_nested(field.type) for field in schema):  # whose leaves have names of their own
        repeated = True
    return pq.ParquetWriter(path, schema, compression=_COMPRESSION, use_dictionary=repeated)


def _schema(candidates: CandidateFiles, added: pl.DataFrame) -> pa.Schema:
    fields = [pa.field(column.name, pa.from_numpy_dtype(column.to_numpy().dtype)) for column in added]
    return pa.schema([*candidates.schema, *fields])


def _write(
    candidates: CandidateFiles, added: pl.DataFrame, folder: Path, block_rows: int, path: Path, rows: int
) -> None:
    schema, dtype = _schema(candidates, added), _records(added)
    blocks, held = _in_order(folder, dtype, candidates.n_rows, block_rows), np.empty(0, dtype)
    with _writer(path, schema, added) as writer, closing(ahead(candidates.batches(rows))) as batches:
        for batch in batches:
            while len(held) < batch.num_rows:
                held = np.concatenate([held, next(blocks)])
            mine, held = held[: batch.num_rows], held[batch.num_rows :]
            columns = [pa.array(np.ascontiguousarray(mine[name])) for name in added.columns]
            writer.write_batch(pa.RecordBatch.from_arrays([*batch.columns, *columns], schema=schema))


def _in_order(folder: Path, dtype: np.dtype[Any], n_rows: int, block_rows: int) -> Iterator[NDArray[Any]]:
    """The records of all rows, block by block, each in its place."""
    for number, first in enumerate(range(0, n_rows, block_rows)):
        path, n_here = _block(folder, number), min(block_rows, n_rows - first)
        # Read, not mapped: of a drive that is lost a process is told so, and not ended by the system.
        content = path.read_bytes()
        if len(content) != n_here * dtype.itemsize:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        found, block = np.frombuffer(content, dtype), np.empty(n_here, dtype)
        block[found[_PLACE] - first] = found
        yield block


@contextmanager
def _workplace(out: Path) -> Iterator[Path]:
    """A folder beside `out`, gone afterwards."""
    remedy = "Name a file in a folder that can be written."
    if out.is_dir():
        raise DataError(f"out: expected a file, got the folder {str(out)!r}. {remedy}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(out.parent.glob(f".{escape(out.name)}-*"))
        # What cannot be removed, from a drive that was lost, is removed by a later run; its loss is what is to be told.
        folder = TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise DataError(
            f"out: expected a file that can be written, got {str(out)!r} ({error.strerror}). {remedy}"
        ) from error
    with folder as name:
        yield Path(name)
