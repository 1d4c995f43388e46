from __future__ import annotations

import contextlib
import gzip
import random
import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from feature_store.data_errors import DataError
from feature_store.files.table_files import read_table
from feature_store.schema import EVENTS
from feature_store.store import Store

FRAME = pl.DataFrame({"user_id": ["007", "8"], "value": [1.5, 2.0]})


def read(path: Path, table: str = "events") -> pl.DataFrame:
    return read_table(str(path), table=table).frame


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as error:
        read_table(str(path), table="events")
    message = str(error.value)
    assert message.startswith(
        "events.path: expected a table as Parquet (a file or a folder), CSV, JSON, Arrow or Delta, got "
    )
    assert "\n" not in message
    return message


def test_parquet_csv_and_json_lines_give_the_same_rows(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "a.parquet")
    FRAME.write_csv(tmp_path / "a.csv")
    FRAME.write_ndjson(tmp_path / "a.jsonl")
    for name in ("a.parquet", "a.csv", "a.jsonl"):
        assert read(tmp_path / name).equals(FRAME), name


def test_a_folder_of_parquet_is_one_table_in_the_order_of_its_names(tmp_path: Path) -> None:
    FRAME.tail(1).write_parquet(tmp_path / "b.parquet")
    FRAME.head(1).write_parquet(tmp_path / "a.parquet")
    assert read(tmp_path).equals(FRAME)


def test_a_delta_table_is_read_at_its_newest_version_without_outdated_files(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "shop")
    store.append_items(pl.DataFrame({"item_id": ["a"], "title": ["old"]}))
    store.append_items(pl.DataFrame({"item_id": ["a"], "title": ["new"]}))
    assert read(tmp_path / "shop" / "items", "items").rows() == [("a", "new")]


def test_a_number_late_in_a_csv_column_does_not_break_it(tmp_path: Path) -> None:
    lines = ["user_id,value", *["1,1"] * 5000, "1,2.5"]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    assert read(tmp_path / "a.csv")["value"][-1] == 2.5


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
        ("a.parquet.gz", gzip.compress(b"PAR1", mtime=0)),
        ("a.csv", b"PAR1\x15\x04\x15"),
        ("a.csv", b"<html>502 Bad Gateway</html>"),
        ("a.csv", b"\xff\xfe\x00\x01\x02\n\x81\x82"),
        ("a.jsonl", b'{"user_id": {"0": "a"}, "item_id": {"0": "b"}}'),
        ("a.csv.gz", b"user_id,value\n1,2\n"),
        ("a.xlsx", b"PK\x03\x04"),
        ("a.avro", b"Obj\x01"),
        ("table", b"user_id,value\n1,2\n"),
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


def test_a_folder_of_csv_files_is_refused_with_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("item_id,title\n1,pen\n")
    assert "but with a.csv). Give one file, or a folder of Parquet files." in refusal(tmp_path)


def test_a_folder_of_files_without_a_required_column_is_refused_with_the_files_name(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "a.parquet")
    FRAME.rename({"user_id": "user"}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"events\.user_id: expected the column in every file, got none in b\.parquet"):
        read_table(str(tmp_path), table="events")


@pytest.mark.parametrize(
    ("name", "content", "bad"),
    [
        ("a.csv", b"user_id,value\n1,2,3\n4,5\n", "line: expected 2 fields, got 3"),
        ("a.tsv", b"user_id\tvalue\n1\n4\t5\n", "line: expected 2 fields, got 1"),
        ("a.csv", b'user_id,value\n"1,2\n4,5\n', "line: expected closed quotes, got a quoted field that does not end"),
        ("a.csv", b"user_id,value\n1,\0\n4,5\n", "line: expected text, got a NUL byte"),
        (
            "a.jsonl",
            b'nope\n\n{"user_id": "4", "value": 5}\n',
            "line: expected a JSON object, got a fault (expecting value)",
        ),
        ("a.json", b'[{"user_id": 01},\n{"user_id": "4", "value": 5}]', "line: expected a JSON object"),
    ],
)
def test_a_broken_line_costs_no_other_row(tmp_path: Path, name: str, content: bytes, bad: str) -> None:
    (tmp_path / name).write_bytes(content)
    rows = read_table(str(tmp_path / name), table="events")
    assert rows.frame.rows() == [("4", 5)]
    assert rows.unreadable["reason"][0].startswith(bad)
    assert rows.n_rows == 2
    event = pl.DataFrame({"user_id": ["4"], "item_id": ["i"], "timestamp": ["2024-01-01"]})
    receipt = Store.create(tmp_path / "store").append(EVENTS, replace(rows, frame=event, lines=None))
    assert re.search(r"\n  1 x line: .* in line \d\)", str(receipt))
    # Reported once, with the reason, not as a warning too.
    assert receipt.warnings == ()


def test_a_file_without_an_ending_is_read_if_it_begins_as_parquet(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "part-00000")
    assert read(tmp_path / "part-00000").equals(FRAME)


def test_compressed_text_of_every_kind_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(FRAME.write_csv().encode()))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(FRAME.write_ndjson().encode()))
    assert read(tmp_path / "a.csv.gz").equals(FRAME)
    assert read(tmp_path / "a.jsonl.gz").equals(FRAME)


def test_unsupported_formats_are_refused_by_their_name(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04")
    assert ".xlsx is not a supported format; it looks like a zip archive, or an Excel workbook" in refusal(
        tmp_path / "a.xlsx"
    )
    FRAME.write_parquet(tmp_path / "a.csv")
    assert "it looks like a Parquet file" in refusal(tmp_path / "a.csv")
    FRAME.write_csv(tmp_path / "a.parquet")
    assert "it looks like text, such as CSV or JSON" in refusal(tmp_path / "a.parquet")


@pytest.mark.parametrize("n_bytes", [1_000, 100_000])
def test_malformed_files_are_refused_without_a_word_on_stderr(
    tmp_path: Path, n_bytes: int, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(n_bytes)
    frame = pl.DataFrame({"user_id": [f"u{n}" for n in range(n_bytes // 4)]})
    for name, write in (("a.parquet", frame.write_parquet), ("a.arrow", frame.write_ipc)):
        write(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        for _ in range(40):
            broken = bytearray(whole)
            for _ in range(8):
                broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
            (tmp_path / name).write_bytes(broken)
            with contextlib.suppress(DataError):
                assert read(tmp_path / name).width <= 1
    assert capfd.readouterr().err == ""


def test_a_file_that_claims_more_rows_than_it_can_hold_is_refused(tmp_path: Path) -> None:
    rows = pl.LazyFrame({"user_id": ["u"]}).select(pl.repeat("u", 30_000_000).alias("user_id"))
    rows.sink_parquet(tmp_path / "a.parquet", row_group_size=30_000_000)
    assert "claims 30,000,000 rows" in refusal(tmp_path / "a.parquet")


def test_arrow_files_are_read(tmp_path: Path) -> None:
    FRAME.write_ipc(tmp_path / "a.arrow")
    assert read(tmp_path / "a.arrow").equals(FRAME)


@pytest.mark.parametrize(
    ("name", "where"),
    [("items.parquet", "row 3, counting from 0"), ("items.jsonl", "line 4"), ("items.csv", "line 5")],
)
def test_a_column_of_which_most_cells_are_numbers_is_warned_of_in_every_format(
    tmp_path: Path, name: str, where: str
) -> None:
    prices = ["1", "2.5", "3", "7 or so", ""]
    frame = pl.DataFrame({"item_id": ["a", "b", "c", "d", "e"], "title": "t", "price": prices, "code_id": prices})
    write = {".parquet": frame.write_parquet, ".jsonl": frame.write_ndjson, ".csv": frame.write_csv}
    write[Path(name).suffix](tmp_path / name)
    (warning,) = read_table(str(tmp_path / name), table="items").warnings
    assert warning.startswith(
        f"items.price: the column was read as text because 1 cell is no number, such as '7 or so' ({where}). Correct"
    )
