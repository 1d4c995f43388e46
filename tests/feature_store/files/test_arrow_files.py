"""Parquet and Arrow files: what polars cannot hold, folders of parts, malformed files."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_store.data_errors import DataError
from feature_store.files.arrow_files import read_arrow, read_folder, read_parquet
from feature_store.files.file_content import UnreadableFileError
from feature_store.schema import EVENTS, ITEMS

EVENT = pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": [1_600_000_000]})
ODD = {
    "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
    "decimal": pa.array([Decimal("1.5")], pa.decimal256(60, 2)),
    "length": pa.array([5], pa.duration("s")),
    "at": pa.array([0], pa.timestamp("us", "+05:30")),
}


def test_times_with_an_offset_are_read_as_the_moments_that_they_are(tmp_path: Path) -> None:
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    times = pa.array([moment], pa.timestamp("us", "+05:30"))
    pq.write_table(pa.table({"user_id": ["u"], "item_id": ["i"], "timestamp": times}), tmp_path / "a.parquet")
    assert read_parquet(str(tmp_path / "a.parquet"), EVENTS).frame["timestamp"].to_list() == [moment]


def test_columns_of_items_that_are_no_attributes_are_left_out_with_a_warning(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = pa.table({"item_id": ["i"], "title": ["a"], **ODD})
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    for rows in (read_parquet(str(tmp_path / "a.parquet"), ITEMS), read_arrow(str(tmp_path / "a.arrow"), ITEMS)):
        assert rows.frame.columns == ["item_id", "title", "decimal", "at"]
        assert rows.frame["decimal"].to_list() == [1.5]
        assert [warning.split(":")[0] for warning in rows.warnings] == ["items.length", "items.map"]
    assert capfd.readouterr().err == ""


def test_a_column_that_is_needed_and_cannot_be_read_is_refused_by_its_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": ODD["map"], "title": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"items\.item_id: expected text, numbers or times, got a column of map"):
        read_parquet(str(tmp_path / "a.parquet"), ITEMS)


def test_a_folder_is_read_without_what_systems_leave_in_it(tmp_path: Path) -> None:
    EVENT.write_parquet(tmp_path / "b.parquet")
    EVENT.select("timestamp", "item_id", "user_id").write_parquet(tmp_path / "a.PARQUET")
    EVENT.head(0).drop("user_id").write_parquet(tmp_path / "c.parquet")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "._b.parquet").write_bytes(b"resource fork")
    (tmp_path / "_metadata").write_bytes(b"PAR1")
    assert read_folder(str(tmp_path), EVENTS).frame.equals(
        pl.concat([EVENT, EVENT]).select("timestamp", "item_id", "user_id")
    )


def test_folders_of_partitions_give_their_column(tmp_path: Path) -> None:
    for kind in ("buy", "click"):
        (tmp_path / f"event={kind}").mkdir()
        EVENT.write_parquet(tmp_path / f"event={kind}" / "part-0.parquet")
    assert read_folder(str(tmp_path), EVENTS).frame["event"].to_list() == ["buy", "click"]


def test_folders_that_are_no_partitions_get_a_warning_or_are_refused(tmp_path: Path) -> None:
    (tmp_path / "2024").mkdir()
    EVENT.write_parquet(tmp_path / "2024" / "a.parquet")
    with pytest.raises(UnreadableFileError, match=r"without a \.parquet file, but with 2024/"):
        read_folder(str(tmp_path), EVENTS)
    EVENT.write_parquet(tmp_path / "a.parquet")
    rows = read_folder(str(tmp_path), EVENTS)
    assert rows.frame.height == 1
    assert "not '2024'" in rows.warnings[0]


def test_a_broken_part_is_named(tmp_path: Path) -> None:
    EVENT.write_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-20])
    with pytest.raises(UnreadableFileError, match=r"b\.parquet: "):
        read_folder(str(tmp_path), EVENTS)


def test_a_doubled_column_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table([pa.array(["u"]), pa.array(["v"])], names=["user_id", "user_id"]), tmp_path / "a.parquet")
    with pytest.raises(UnreadableFileError, match="several columns called 'user_id'"):
        read_parquet(str(tmp_path / "a.parquet"), EVENTS)


def test_text_that_is_not_utf_8_never_reaches_polars(tmp_path: Path) -> None:
    text = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))
    pq.write_table(pa.table({"user_id": text}), tmp_path / "a.parquet")
    with pytest.raises(UnreadableFileError):
        read_parquet(str(tmp_path / "a.parquet"), EVENTS)
