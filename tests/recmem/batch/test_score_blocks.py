"""Scores in blocks: whatever order they are written in, they are read back in the order of the rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recmem.batch.score_blocks import ROW_NUMBER, ScoreBlocks

NO_SCORES = pl.DataFrame(schema={"score": pl.Float64, "rank": pl.Int32})


def written(folder: Path, n_rows: int, chunk_rows: int) -> ScoreBlocks:
    """Blocks of a file whose row `n` has the score n / 2 and the rank -n, written in three interleaved chunks."""
    blocks = ScoreBlocks(folder, NO_SCORES, n_rows=n_rows, chunk_rows=chunk_rows)
    with blocks.writer() as write:
        for first in range(3):
            rows = np.arange(first, n_rows, 3)
            write(pl.DataFrame({"rank": (-rows).astype(np.int32), "score": rows / 2, ROW_NUMBER: rows}))
    return blocks


@pytest.mark.parametrize(("n_rows", "chunk_rows"), [(1, 1), (10, 4), (12, 4), (10, 100)])
def test_blocks_are_read_back_in_the_order_of_the_rows(tmp_path: Path, n_rows: int, chunk_rows: int) -> None:
    parts = list(written(tmp_path, n_rows, chunk_rows).in_order())
    assert [len(part) for part in parts][:-1] == [chunk_rows] * (len(parts) - 1)
    records = np.concatenate(parts)
    assert records[ROW_NUMBER].tolist() == list(range(n_rows))
    assert records["score"].tolist() == [row / 2 for row in range(n_rows)]
    assert records["rank"].tolist() == [-row for row in range(n_rows)]


def test_a_block_that_lost_a_record_is_an_error(tmp_path: Path) -> None:
    blocks = written(tmp_path, 10, 4)
    path = tmp_path / "block-1"
    path.write_bytes(path.read_bytes()[: -blocks.record_type.itemsize])
    in_order = blocks.in_order()
    next(in_order)
    with pytest.raises(OSError, match="block-1"):
        next(in_order)
