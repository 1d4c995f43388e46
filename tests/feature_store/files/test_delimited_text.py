"""CSV as users write it: headers, separators, encodings; and the numbers of its lines."""

from __future__ import annotations

import polars as pl
import pytest

from feature_store.data_errors import DataError
from feature_store.files.delimited_text import COMMA, read_delimited
from feature_store.files.file_content import as_text
from feature_store.files.file_rows import FileRows
from feature_store.schema import EVENTS, ITEMS, Table


def read(content: str | bytes, *, table: Table = ITEMS, separator: str | None = COMMA) -> FileRows:
    data = content.encode() if isinstance(content, str) else content
    return read_delimited(as_text(data), table, separator=separator)


def test_regular_and_ragged_text_give_the_same_rows_in_the_same_types() -> None:
    regular = 'item_id,title,price\n007,"a, b",1.5\r\n8,,2\n\n9,"two\nlines",\n'
    clean = read(regular)
    assert clean.frame.rows() == [("007", "a, b", 1.5), ("8", None, 2.0), ("9", "two\nlines", None)]
    assert clean.lines is not None
    assert clean.lines.to_list() == [2, 3, 5]
    ragged = read(f"{regular}10,x\n")
    assert ragged.frame.equals(clean.frame)
    assert ragged.lines is not None
    assert ragged.lines.equals(clean.lines)
    assert ragged.unreadable.rows() == [(7, "line: expected 3 fields, got 2", "10,x")]


def test_a_doubled_column_is_refused_with_its_name() -> None:
    with pytest.raises(DataError, match=r"items\.path: expected every column once, got title twice"):
        read("item_id,title,title\n1,a,b\n")
    with pytest.raises(DataError, match="got item_id twice"):
        read("item_id, item_id,title\n1,a,b\n")


def test_spaces_around_names_are_removed_and_a_column_without_a_name_is_not_read() -> None:
    rows = read(", item_id,title \n0,1,a\n")
    assert rows.frame.rows() == [("1", "a")]
    assert rows.frame.columns == ["item_id", "title"]
    assert rows.warnings == (
        "Spaces around column names were removed, such as in ' item_id'.",
        "The first column without a name: not read.",
    )


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_another_separator_in_the_header_is_used_with_a_warning(separator: str) -> None:
    text = "item_id,title,price\n1,a,2.5\n".replace(",", separator)
    rows = read(text)
    assert rows.frame.rows() == [("1", "a", 2.5)]
    assert "The columns are separated by" in rows.warnings[0]
    assert read(text, separator=None).warnings == ()


def test_semicolons_leave_room_for_decimal_commas() -> None:
    assert read("item_id;title;price\n1;a;2,5\n2;b;3\n").frame["price"].to_list() == [2.5, 3.0]


def test_a_file_in_which_no_line_is_a_row_is_refused_with_the_first_of_them() -> None:
    with pytest.raises(
        DataError, match=r"expected rows, got none from 2 lines: line 2 \('1'\): expected 2 fields, got 1;"
    ):
        read("item_id,title\n1\n2\n")


def test_text_of_old_macs_and_windows_is_read() -> None:
    for end in ("\r", "\r\n"):
        assert read(f"item_id,title{end}1,a{end}2,b{end}").frame.rows() == [("1", "a"), ("2", "b")]


def test_twenty_thousand_columns_are_read_or_refused_in_a_message_of_ordinary_length() -> None:
    names = [f"c{n}" for n in range(20_000)]
    wide = read(f"item_id,title,{','.join(names)}\n1,a,{','.join('5' for _ in names)}\n")
    assert wide.frame.width == 20_002
    assert wide.frame["c19999"].to_list() == [5]


def test_a_long_line_is_read_and_the_text_of_a_broken_one_is_cut() -> None:
    long = "x" * 3_000_000
    rows = read(f"item_id,title\n1,{long}\n2,{long},3\n")
    assert rows.frame["title"][0] == long
    assert len(rows.unreadable["text"][0]) < 20_000
    assert "(3,000,004 characters)" in rows.unreadable["text"][0]


def test_cells_of_known_columns_are_left_for_the_table_to_judge() -> None:
    rows = read("user_id,item_id,timestamp,value\nu,i,1600000000,5\nu,j,N/A,x\n", table=EVENTS)
    assert rows.frame.schema == dict.fromkeys(("user_id", "item_id", "timestamp", "value"), pl.String)
    assert rows.warnings == ()
