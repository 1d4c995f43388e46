"""A long file whose queries are scattered: spread over smaller files, so that each query is read as a whole."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recmem.batch.candidate_files import COMPRESSION, CandidateFiles, as_frame, query_hashes, read_by_scoring
from recmem.batch.score_blocks import ROW_NUMBER
from recmem.pipelining import ahead

MAX_PARTS = 64
"""Files that one file is spread over, at most; each of them may be spread again."""
MAX_SPREADS = 3
"""Times that rows are spread again. What is still too long then is one query, or a few."""


def whole_queries(
    source: CandidateFiles, folder: Path, chunk_rows: int, n_spread: int = 0
) -> Generator[pl.DataFrame, None, None]:
    """Frames of whole queries, of about `chunk_rows` rows, with each row's place in the column `ROW_NUMBER`.

    Parts are written to `folder` and removed once they have been read.
    """
    if source.n_rows <= chunk_rows or n_spread == MAX_SPREADS:
        frame = as_frame(source.table())
        yield frame if ROW_NUMBER in frame.columns else frame.with_row_index(ROW_NUMBER)
        return
    # Twice as many as would do, since hashes do not spread the rows evenly.
    n_parts = min(2 * -(-source.n_rows // chunk_rows), MAX_PARTS)
    for part in _spread(source, folder, n_parts, chunk_rows, n_spread):
        yield from whole_queries(CandidateFiles.open(part), folder, chunk_rows, n_spread + 1)
        part.unlink()


def _spread(source: CandidateFiles, folder: Path, n_parts: int, chunk_rows: int, n_spread: int) -> list[Path]:
    """Writes the rows to files by a hash of their query: all rows of a query go to one file, in their order."""
    writers: dict[Path, pq.ParquetWriter] = {}
    first = 0
    with ExitStack() as stack:
        names = read_by_scoring(source.schema)
        batches = stack.enter_context(closing(ahead(source.batches(chunk_rows, names))))
        for batch in batches:
            numbered = _numbered(batch, first)
            first += batch.num_rows
            for part, rows in _by_part(numbered, n_parts, seed=n_spread):
                path = folder / f"{n_spread}-{part}.parquet"
                if path not in writers:
                    writer = pq.ParquetWriter(path, rows.schema, compression=COMPRESSION)
                    writers[path] = stack.enter_context(writer)
                writers[path].write_table(rows)
    return sorted(writers)


def _numbered(batch: pa.RecordBatch, first: int) -> pa.RecordBatch:
    """The batch with its rows' numbers, counted from `first`; unchanged if it has them from an earlier spread."""
    if ROW_NUMBER in batch.schema.names:
        return batch
    numbers = pa.array(np.arange(first, first + batch.num_rows), pa.int64())
    return pa.RecordBatch.from_arrays([*batch.columns, numbers], [*batch.schema.names, ROW_NUMBER])


def _by_part(batch: pa.RecordBatch, n_parts: int, *, seed: int) -> Iterator[tuple[int, pa.Table]]:
    """The rows of each part that occurs in the batch. Each spread has its own seed, or its hashes would agree."""
    part = query_hashes(batch, seed=seed) % n_parts
    order = np.argsort(part, kind="stable")
    # Ordered by polars: pyarrow cannot take rows of string views, which is what polars writes to Arrow files.
    ordered = as_frame(pa.Table.from_batches([batch]))[order].to_arrow()
    numbers, begins = np.unique(part[order], return_index=True)
    ends = [*begins[1:], len(part)]
    for number, begin, end in zip(numbers, begins, ends, strict=True):
        yield int(number), ordered.slice(begin, end - begin)
