from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from feature_store import DataError
from feature_store.importers.table_files import blocks_of, micros_of, tables_in, whole_number

SCHEMA = pl.Schema({"item_id": pl.String, "n": pl.Int64})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_tables_are_written_block_by_block_and_appear_together(tmp_path: Path) -> None:
    out = tmp_path / "new" / "tables"
    rows = ((f"i{n}", n) for n in range(5))
    with tables_in(out) as tables:
        for block in blocks_of(rows, SCHEMA, n_rows=2):
            assert block.height <= 2
            tables.write("items", block)
        tables.write("events", SCHEMA.to_frame())
        assert all(name.startswith(".") for name in names(out))
    assert tables.written() == {out / "items.parquet": 5}
    assert names(out) == ["items.parquet"]
    assert pl.read_parquet(out / "items.parquet")["n"].to_list() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("folder", ["", "new", "new/in/it"])
def test_an_import_that_fails_leaves_nothing(tmp_path: Path, folder: str) -> None:
    def fail() -> None:
        with tables_in(tmp_path / folder) as tables:
            tables.write("items", pl.DataFrame({"item_id": ["a"]}))
            raise DataError("on purpose")

    with pytest.raises(DataError, match="on purpose"):
        fail()
    assert names(tmp_path) == []


def test_a_folder_with_tables_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"item_id": ["a"]}).write_parquet(tmp_path / "users.parquet")
    with pytest.raises(DataError, match=r"out: expected a folder without tables, got .* with users.parquet"):
        tables_in(tmp_path).__enter__()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="out: expected a folder that can be written"):
        tables_in(tmp_path / "file" / "tables").__enter__()


def test_what_a_killed_import_has_left_is_removed_and_no_file_of_the_user(tmp_path: Path) -> None:
    left = tmp_path / f".items-{'0' * 32}.parquet"
    of_the_user = tmp_path / ".items-old.parquet"
    for path in (left, of_the_user):
        path.write_text("")
        os.utime(path, (0, 0))
    with tables_in(tmp_path):
        pass
    assert names(tmp_path) == [".items-old.parquet"]


def test_times_from_1970_to_9999_are_read() -> None:
    assert [micros_of(seconds) for seconds in (0, 1.5, 253_402_300_799)] == [0, 1_500_000, 253_402_300_799_000_000]
    assert micros_of(1_700_000_000_123, per_second=1000) == 1_700_000_000_123_000
    wrong = (-1, 253_402_300_800, 10**400, float("nan"), float("inf"), True, "12", None)
    assert [micros_of(seconds) for seconds in wrong] == [None] * len(wrong)
    assert micros_of(10**400, per_second=1000) is None


def test_whole_numbers_are_read_from_text() -> None:
    assert [whole_number(value) for value in ("1998", " 1998.0 ", 12, "-750.0")] == [1998, 1998, 12, -750]
    wrong = ("", None, "12th", "1.5", "--1", "٣", "9" * 12)
    assert [whole_number(value) for value in wrong] == [None] * len(wrong)
