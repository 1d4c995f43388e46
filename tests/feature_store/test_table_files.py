from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from feature_store.data_errors import DataError
from feature_store.store import Store
from feature_store.table_files import read_table

FRAME = pl.DataFrame({"user_id": ["007", "8"], "value": [1.5, 2.0]})


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read_table(str(path), table="events")
    message = str(error.value)
    assert message.startswith(
        "events.path: expected a Parquet file or folder (or .csv, .jsonl, .ndjson, .arrow, .feather), got "
    )
    assert "\n" not in message
    return message


def test_parquet_csv_and_json_lines_give_the_same_rows(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "a.parquet")
    FRAME.write_csv(tmp_path / "a.csv")
    FRAME.write_ndjson(tmp_path / "a.jsonl")
    for name in ("a.parquet", "a.csv", "a.jsonl"):
        assert read_table(str(tmp_path / name), table="events").equals(FRAME), name


def test_a_folder_of_parquet_is_one_table_in_the_order_of_its_names(tmp_path: Path) -> None:
    FRAME.tail(1).write_parquet(tmp_path / "b.parquet")
    FRAME.head(1).write_parquet(tmp_path / "a.parquet")
    assert read_table(str(tmp_path), table="events").equals(FRAME)


def test_a_delta_table_is_read_at_its_newest_version_without_outdated_files(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "shop")
    store.append_items(pl.DataFrame({"item_id": ["a"], "title": ["old"]}))
    store.append_items(pl.DataFrame({"item_id": ["a"], "title": ["new"]}))
    assert read_table(str(tmp_path / "shop" / "items"), table="items").rows() == [("a", "new")]


def test_a_number_late_in_a_csv_column_does_not_break_it(tmp_path: Path) -> None:
    lines = ["user_id,value", *["1,1"] * 5000, "1,2.5"]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    assert read_table(str(tmp_path / "a.csv"), table="events")["value"][-1] == 2.5


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "nothing at " in refusal(tmp_path / "none.parquet")


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.jsonl"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert "an empty file at " in refusal(tmp_path / name)


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    FRAME.head(0).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("user_id,value\n")
    assert "without rows" in refusal(tmp_path / "a.parquet")
    assert "without rows" in refusal(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b"user_id,value\n1,2\n"),
        ("a.parquet", b"PAR1 no footer here PAR1"),
        ("a.parquet.gz", gzip.compress(b"PAR1")),
        ("a.csv", b"a,b\n1,2,3\n4,5\n"),
        ("a.csv", b"\xff\xfe\x00\x01\x02\n\x81\x82"),
        ("a.jsonl", b'{"user_id": 1}\nnope\n'),
    ],
)
def test_a_file_whose_content_contradicts_its_extension_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert "cannot be read" in refusal(tmp_path / name)


def test_a_truncated_parquet_file_is_refused(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in refusal(tmp_path / "a.parquet")


def test_a_folder_without_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    assert "without a .parquet file" in refusal(tmp_path)


def test_a_folder_of_files_with_other_columns_is_refused(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "a.parquet")
    FRAME.rename({"value": "price"}).write_parquet(tmp_path / "b.parquet")
    assert "cannot be read" in refusal(tmp_path)


def test_a_file_that_claims_more_rows_than_it_can_hold_is_refused(tmp_path: Path) -> None:
    rows = pl.LazyFrame({"user_id": ["u"]}).select(pl.repeat("u", 30_000_000).alias("user_id"))
    rows.sink_parquet(tmp_path / "a.parquet", row_group_size=30_000_000)
    assert "claims 30,000,000 rows" in refusal(tmp_path / "a.parquet")


def test_arrow_files_are_read(tmp_path: Path) -> None:
    FRAME.write_ipc(tmp_path / "a.arrow")
    assert read_table(str(tmp_path / "a.arrow"), table="events").equals(FRAME)
