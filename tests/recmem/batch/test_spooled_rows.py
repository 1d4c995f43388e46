"""Text and Arrow kept as Parquet: every row as it was, however the blocks fall; what is broken is refused."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import ipc

from feature_store import DataError
from feature_store.files import text_blocks
from feature_store.files.file_content import UnreadableFileError
from recmem.batch.file_formats import format_by_name
from recmem.batch.spooled_rows import spool

IDS = st.text(st.sampled_from('a07",\r\n é'), min_size=1, max_size=5)


def read(path: Path, *, block_bytes: int | None = None) -> pl.DataFrame:
    """The rows after they were spooled, with the warnings as a list in `read.warnings`."""
    file_format = format_by_name(path.name)
    assert file_format is not None
    folder = path.with_name(f"rows of {path.name}")
    folder.mkdir(exist_ok=True)
    read.warnings = []  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        if block_bytes is not None:
            patch.setattr(text_blocks, "BLOCK_BYTES", block_bytes)
            patch.setattr(text_blocks, "MAX_BLOCKS_PER_RECORD", 1_000)
        spool(path, file_format, folder, warn=read.warnings.append)  # type: ignore[attr-defined]
    return pl.concat(pl.read_parquet(part, glob=False) for part in sorted(folder.iterdir()))


def text(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8", newline="")
    return path


@given(
    ids=st.lists(st.tuples(IDS, IDS), min_size=1, max_size=10),
    titles=st.lists(st.none() | st.text(st.sampled_from('a",\n é'), max_size=4), min_size=10, max_size=10),
    block_bytes=st.integers(5, 60),
)
@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_rows_come_back_as_they_were_wherever_the_blocks_end(
    tmp_path_factory: pytest.TempPathFactory,
    ending: str,
    ids: list[tuple[str, str]],
    titles: list[str | None],
    block_bytes: int,
) -> None:
    path = tmp_path_factory.mktemp("spool") / f"c.{ending}"
    given = pl.DataFrame(
        {"user_id": [user for user, _ in ids], "item_id": [item for _, item in ids], "title": titles[: len(ids)]},
        schema=dict.fromkeys(("user_id", "item_id", "title"), pl.String),
    )
    if ending == "jsonl":
        given.write_ndjson(path)
    else:
        given.write_csv(path, separator="," if ending == "csv" else "\t")
    found = read(path, block_bytes=block_bytes)
    assert found.columns == given.columns
    assert found.rows() == given.rows()


def test_ids_like_numbers_keep_their_zeros_and_numbers_become_numbers(tmp_path: Path) -> None:
    path = text(tmp_path / "c.csv", "user_id,item_id,price,zip,seen\n007,1,1.50,00123,true\n7,01,2,9,false\n")
    assert read(path).to_dicts() == [
        {"user_id": "007", "item_id": "1", "price": 1.5, "zip": "00123", "seen": True},
        {"user_id": "7", "item_id": "01", "price": 2.0, "zip": "9", "seen": False},
    ]


def test_a_history_in_csv_is_a_json_list(tmp_path: Path) -> None:
    path = text(
        tmp_path / "c.csv",
        'user_id,item_id,history\nu,i,"[""a,b"", ""007"", 7]"\nu,i,\nu,i,[]\nu,i,"[""\\""""]"\n',
    )
    assert read(path)["history"].to_list() == [["a,b", "007", "7"], None, [], ['"']]


@pytest.mark.parametrize("cell", ["a|b", '"{""a"": 1}"', "[1.5]", '"[""a"""', "7"])
def test_a_history_of_another_form_is_refused_with_its_line(tmp_path: Path, cell: str) -> None:
    path = text(tmp_path / "c.csv", f"user_id,item_id,history\nu,i,[]\nu,i,{cell}\n")
    with pytest.raises(DataError, match=r"candidates\.history: expected a JSON list of item ids, .* in line 3"):
        read(path)


def test_a_column_whose_kind_shows_late_is_one_type(tmp_path: Path) -> None:
    rows = [
        {"user_id": 7, "item_id": 1},
        {"user_id": 8, "item_id": "x", "n": 1},
        {"user_id": 9, "item_id": 2, "n": 0.5},
    ]
    rows += [{"user_id": 7, "item_id": "y", "history": []}, {"user_id": 7, "item_id": "z", "history": ["007"]}]
    path = text(tmp_path / "c.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    found = read(path, block_bytes=5)
    assert len(list((tmp_path / "rows of c.jsonl").iterdir())) == 5
    assert found["user_id"].to_list() == [7, 8, 9, 7, 7]
    assert found["item_id"].to_list() == ["1", "x", "2", "y", "z"]
    assert found["n"].to_list() == [None, 1.0, 0.5, None, None]
    assert found["history"].to_list() == [None, None, None, [], ["007"]]


def test_whole_numbers_beyond_64_bits_stay_exact(tmp_path: Path) -> None:
    path = text(tmp_path / "c.jsonl", '{"user_id": 12345678901234567890, "item_id": 1}\n')
    assert read(path)["user_id"].cast(pl.String).to_list() == ["12345678901234567890"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.csv", "user_id,item_id\nu,i\nu,i,extra\n", r"got line 3 \('u,i,extra'\): expected 2 fields, got 3"),
        ("c.csv", 'user_id,item_id\nu,"i\nu,i\n', r"got line 2 .*expected closed quotes"),
        ("c.csv", "user_id,item_id\nu,i\0\n", r"got line 2 .*NUL byte"),
        ("c.jsonl", '{"user_id": "u", "item_id": "i"}\n{"user_id": \n[]\n', r"got line 2 .*and 1 more line"),
        ("c.csv", "user_id,user_id\nu,i\n", "every column once"),
    ],
)
def test_a_row_that_cannot_be_read_refuses_the_file_with_its_line(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(text(tmp_path / name, content))


def test_a_broken_line_in_a_later_block_has_its_number_in_the_file(tmp_path: Path) -> None:
    content = "user_id,item_id\n" + "u,i\n" * 50 + "u\n"
    with pytest.raises(DataError, match="got line 52 "):
        read(text(tmp_path / "c.csv", content), block_bytes=30)
    lines = '{"user_id": "u", "item_id": "i"}\n' * 50 + "{\n"
    with pytest.raises(DataError, match="line 51 "):
        read(text(tmp_path / "c.jsonl", lines), block_bytes=40)


def test_an_array_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="it is a JSON array"):
        read(text(tmp_path / "c.jsonl", '[{"user_id": "u"}]'))
    for name in ("c.csv", "d.jsonl"):
        with pytest.raises(UnreadableFileError, match="it is empty"):
            read(text(tmp_path / name, ""))


def test_what_was_put_up_with_is_told(tmp_path: Path) -> None:
    found = read(text(tmp_path / "c.csv", "user_id;item_id\nu;i\n"))
    assert found.rows() == [("u", "i")]
    assert read.warnings == ["The columns are separated by semicolons, not commas."]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["c.arrow", "c.feather", "c.arrows"])
def test_arrow_is_read_batch_by_batch(tmp_path: Path, name: str) -> None:
    table = pa.table(
        {"user_id": ["a", "b"], "item_id": pa.array(["x", "y"]).dictionary_encode(), "history": [["z"], None]}
    )
    create = ipc.new_stream if name.endswith("s") else ipc.new_file
    with pa.OSFile(str(tmp_path / name), "wb") as sink, create(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    assert read(tmp_path / name).rows() == [("a", "x", ["z"]), ("b", "y", None)]


def test_an_arrow_column_that_parquet_cannot_hold_is_refused_by_name(tmp_path: Path) -> None:
    odd = pa.array([pa.MonthDayNano([1, 2, 3])])
    table = pa.table({"user_id": ["a"], "item_id": ["x"], "every": odd})
    with pa.OSFile(str(tmp_path / "c.arrow"), "wb") as sink, ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match=r"candidates\.every: expected a column that Parquet can hold"):
        read(tmp_path / "c.arrow")


def test_malformed_arrow_is_refused(tmp_path: Path) -> None:
    bad = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))
    table = pa.table({"user_id": bad, "item_id": ["x"]})
    with pa.OSFile(str(tmp_path / "c.arrow"), "wb") as sink, ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(pa.ArrowInvalid, match="UTF8"):
        read(tmp_path / "c.arrow")
