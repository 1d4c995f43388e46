"""Candidate files: which can be read, and whether their queries are grouped."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store import DataError
from recmem.batch import candidate_files
from recmem.batch.candidate_files import CandidateFiles


def candidates(n_rows: int) -> pl.DataFrame:
    return pl.DataFrame({"user_id": [f"u{row % 3}" for row in range(n_rows)], "item_id": range(n_rows)})


@given(users=st.lists(st.integers(0, 4), max_size=30), rows=st.integers(1, 10))
def test_a_file_is_grouped_where_no_query_comes_back(
    tmp_path_factory: pytest.TempPathFactory, users: list[int], rows: int
) -> None:
    path = tmp_path_factory.mktemp("stream") / "c.parquet"
    pl.DataFrame({"user_id": pl.Series(users, dtype=pl.Int64)}).write_parquet(path, row_group_size=7)
    runs = [user for place, user in enumerate(users) if not place or users[place - 1] != user]
    assert CandidateFiles.open(path).is_grouped(rows) == (len(runs) == len(set(runs)))


def test_a_file_with_too_many_runs_counts_as_not_grouped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidate_files, "MAX_RUNS", 3)
    pl.DataFrame({"user_id": [1, 2, 3, 4]}).write_parquet(tmp_path / "c.parquet")
    assert not CandidateFiles.open(tmp_path / "c.parquet").is_grouped(2)


def test_a_repeated_column_name_is_refused(tmp_path: Path) -> None:
    table = pa.table([pa.array(["u"]), pa.array(["i"]), pa.array(["j"])], names=["user_id", "item_id", "item_id"])
    pq.write_table(table, tmp_path / "c.parquet")
    with pytest.raises(DataError, match="every column once, got item_id twice"):
        CandidateFiles.open(tmp_path / "c.parquet")


def test_files_that_cannot_be_used_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"candidates\.path: expected a Parquet file, got nothing at"):
        CandidateFiles.open(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("user_id,item_id\n1,2\n")
    with pytest.raises(DataError, match=r"text\.parquet', which cannot be read"):
        CandidateFiles.open(tmp_path / "text.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"without a \.parquet file"):
        CandidateFiles.open(tmp_path / "empty")


def test_a_truncated_file_is_refused_in_words(tmp_path: Path) -> None:
    candidates(5_000).write_parquet(tmp_path / "c.parquet")
    whole = (tmp_path / "c.parquet").read_bytes()
    (tmp_path / "c.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="which cannot be read"):
        CandidateFiles.open(tmp_path / "c.parquet")


def test_files_of_different_columns_are_refused_in_words(tmp_path: Path) -> None:
    candidates(5).write_parquet(tmp_path / "a.parquet")
    candidates(5).rename({"item_id": "sku"}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(
        DataError, match=r"the same columns in all files, got different ones in a\.parquet and b\.parquet"
    ):
        CandidateFiles.open(tmp_path)


@pytest.mark.parametrize(("rows", "n_tables"), [(1, 4), (2, 4), (3, 3), (100, 1)])
def test_tables_of_a_grouped_file_never_cut_a_query(tmp_path: Path, rows: int, n_tables: int) -> None:
    users = [1] * 5 + [2] + [3] * 2 + [4] * 4
    pl.DataFrame({"user_id": users, "item_id": range(12)}).write_parquet(tmp_path / "c.parquet", row_group_size=4)
    tables = list(CandidateFiles.open(tmp_path / "c.parquet").grouped(rows))
    assert pa.concat_tables(tables)["item_id"].to_pylist() == list(range(12))
    owners = [set(table["user_id"].to_pylist()) for table in tables]
    assert sum(map(len, owners)) == 4
    assert len(tables) == n_tables


def test_files_whose_columns_come_in_another_order_or_are_all_null_are_one(tmp_path: Path) -> None:
    candidates(3).with_columns(note=pl.lit("x")).write_parquet(tmp_path / "a.parquet")
    candidates(2).with_columns(note=None).select("note", "item_id", "user_id").write_parquet(tmp_path / "b.parquet")
    (tmp_path / "._a.parquet").write_bytes(b"resource fork")
    table = CandidateFiles.open(tmp_path).table()
    assert table.column_names == ["user_id", "item_id", "note"]
    assert table["user_id"].to_pylist() == ["u0", "u1", "u2", "u0", "u1"]
    assert table["note"].to_pylist() == ["x", "x", "x", None, None]


def test_a_clash_of_types_names_the_column_and_both_files(tmp_path: Path) -> None:
    candidates(3).write_parquet(tmp_path / "a.parquet")
    candidates(2).with_columns(pl.col("item_id").cast(pl.String)).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"got item_id as int64 in a\.parquet and large_string in b\.parquet"):
        CandidateFiles.open(tmp_path)


def test_a_column_that_scoring_reads_and_polars_cannot_hold_is_refused_by_its_name(tmp_path: Path) -> None:
    odd = pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))
    pq.write_table(pa.table({"user_id": ["u"], "item_id": odd}), tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"candidates\.item_id: expected text, numbers or times, got a column of map"):
        CandidateFiles.open(tmp_path / "c.parquet")
