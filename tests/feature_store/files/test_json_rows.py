"""JSON lines and arrays: a row for each object that can be read, and what is wrong with the others."""

from __future__ import annotations

import json

import pytest

from feature_store.data_errors import DataError
from feature_store.files.file_content import UnreadableFileError, as_text
from feature_store.files.file_rows import FileRows
from feature_store.files.json_rows import read_json
from feature_store.schema import EVENTS

GOOD = '{"user_id": "u", "value": 1}'


def read(content: str) -> FileRows:
    return read_json(as_text(content.encode("utf-8", "surrogatepass")), EVENTS)


def test_a_byte_order_mark_and_empty_lines_are_no_rows() -> None:
    rows = read(f"\ufeff{GOOD}\n\n  \n{GOOD}\n")
    assert rows.frame.rows() == [("u", 1), ("u", 1)]
    assert rows.lines is not None
    assert rows.lines.to_list() == [1, 4]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"value": 01}', "a fault (expecting ',' delimiter)"),
        ('{"value": 1e999}', "a number beyond the range of 64-bit floats"),
        ('{"value": ' + "9" * 50 + "}", "a whole number beyond the range of 128 bits"),
        ('{"user_id": "u"', "a fault (expecting ',' delimiter)"),
        ("[1, 2]", "a list"),
        ("3", "one value"),
        (GOOD + GOOD, "a fault (extra data)"),
        ('{"user_id": "\\ud800"}', "text with an unpaired surrogate"),
        ("[" * 100_000, "a value that is too long or too deep"),
    ],
)
def test_a_line_that_is_no_row_is_set_aside_with_its_fault(line: str, fault: str) -> None:
    rows = read(f"{GOOD}\n{line}\n{GOOD}\n")
    assert rows.frame.rows() == [("u", 1), ("u", 1)]
    assert rows.unreadable["line"].to_list() == [2]
    assert rows.unreadable["reason"].to_list() == [f"line: expected a JSON object, got {fault}"]
    whole = read(f"[{GOOD},\n{GOOD}]")
    assert whole.frame.height == 2


def test_nan_is_a_number_for_the_table_to_judge() -> None:
    assert str(read(f'{GOOD}\n{{"user_id": "v", "value": NaN}}').frame["value"].to_list()) == "[1.0, nan]"


def test_ids_as_numbers_and_as_text_are_the_same_text() -> None:
    rows = read("\n".join(json.dumps({"user_id": user}) for user in (12, "12", 12.0, None)))
    assert rows.frame["user_id"].to_list() == ["12", "12", "12", None]


def test_an_object_where_others_have_text_costs_its_row_only() -> None:
    rows = read(f'{GOOD}\n{{"user_id": {{"id": 1}}, "value": 2}}\n')
    assert rows.frame.rows() == [("u", 1)]
    assert rows.unreadable["reason"].to_list() == ["user_id: expected text or a number as in other rows, got an object"]


def test_keys_that_are_missing_are_null_also_in_lines_read_one_by_one() -> None:
    for broken in ("", "nope\n"):
        rows = read(f'{GOOD}\n{broken}{{"value": 2.5}}\n{{"user_id": "w"}}\n')
        assert rows.frame.rows() == [("u", 1.0), (None, 2.5), ("w", None)]


def test_an_array_with_a_broken_element_keeps_the_others() -> None:
    rows = read(f'[\n {GOOD},\n {{"user_id": nope}},\n {GOOD}\n]\n')
    assert rows.frame.height == 2
    assert rows.unreadable["line"].to_list() == [3]
    cut_off = read(f"[{GOOD}, {GOOD}, {GOOD[:-5]}")
    assert (cut_off.frame.height, cut_off.unreadable.height) == (2, 1)


@pytest.mark.parametrize("indent", [None, 2])
def test_one_object_of_columns_is_refused_with_what_to_write(indent: int | None) -> None:
    with pytest.raises(UnreadableFileError, match="one JSON object: write an array of objects"):
        read(json.dumps({"user_id": {"0": "u"}, "item_id": {"0": "i"}}, indent=indent))


def test_a_file_in_which_no_line_is_a_row_is_refused_with_the_first_of_them() -> None:
    with pytest.raises(DataError, match=r"expected rows, got none from 2 lines: line 1 \('nope'\)"):
        read("nope\nno\n")
