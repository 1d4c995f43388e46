"""Scattered queries: every row comes once, with its number, and every query comes whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recmem.batch.candidate_files import CandidateFiles
from recmem.batch.candidate_source import candidates_at
from recmem.batch.query_parts import whole_queries
from recmem.batch.score_blocks import ROW_NUMBER


@pytest.mark.parametrize(("n_users", "chunk_rows"), [(40, 25), (300, 10), (1, 20), (5, 1000)])
def test_every_row_comes_once_and_every_query_whole(tmp_path: Path, n_users: int, chunk_rows: int) -> None:
    users = np.random.default_rng(0).integers(0, n_users, 500)
    frame = pl.DataFrame({"user_id": users, "item_id": range(500)})
    frame.write_parquet(tmp_path / "candidates.parquet", row_group_size=60)
    parts = tmp_path / "parts"
    parts.mkdir()
    chunks = list(whole_queries(CandidateFiles.open(tmp_path / "candidates.parquet"), parts, chunk_rows))
    together = pl.concat([chunk.select("user_id", "item_id", pl.col(ROW_NUMBER).cast(pl.Int64)) for chunk in chunks])
    assert together.sort(ROW_NUMBER).drop(ROW_NUMBER).equals(frame)
    assert together[ROW_NUMBER].to_list() == together["item_id"].to_list()
    assert sum(chunk["user_id"].n_unique() for chunk in chunks) == frame["user_id"].n_unique()
    # Within a chunk rows keep their order, and the parts are gone.
    assert all(chunk[ROW_NUMBER].is_sorted() for chunk in chunks)
    assert list(parts.iterdir()) == []


@pytest.mark.parametrize("ending", ["arrow", "arrows", "parquet"])
def test_texts_may_be_views_as_polars_writes_them(tmp_path: Path, ending: str) -> None:
    frame = pl.DataFrame(
        {"user_id": ["b", "a", None] * 4, "item_id": [f"item {n}" for n in range(12)], "history": [["x"], None, []] * 4}
    )
    path = tmp_path / f"candidates.{ending}"
    if ending == "parquet":
        pq.write_table(frame.to_arrow(compat_level=pl.CompatLevel.newest()), path)
    else:
        (frame.write_ipc if ending == "arrow" else frame.write_ipc_stream)(path)
    parts = tmp_path / "parts"
    parts.mkdir()
    with candidates_at(path) as source:
        assert source.schema.field("item_id").type == pa.string_view()
        chunks = list(whole_queries(source, parts, 3))
    assert len(chunks) > 1
    assert pl.concat(chunks).sort(ROW_NUMBER).drop(ROW_NUMBER).equals(frame)
