"""Rows that were posted as JSON: what becomes a column, and what is refused in words."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from feature_store import DataError
from recmem.server.posted_rows import MAX_COLUMNS, rows_frame


def test_a_column_that_a_row_lacks_is_null() -> None:
    frame = rows_frame([{"user_id": "a"}, {"user_id": "b", "age": 3}], "users")
    assert frame.equals(pl.DataFrame({"user_id": ["a", "b"], "age": [None, 3]}))


def test_whole_numbers_among_fractions_are_numbers() -> None:
    assert rows_frame([{"value": 4}, {"value": 4.5}, {"value": None}], "events")["value"].to_list() == [4.0, 4.5, None]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([1, "x"], r"events.value: expected one type in a column, got several, or a cell that is none \(TypeError\)"),
        ([True, 1.5], r"events.value: expected one type in a column"),
        ([2**70], r"events.value: expected numbers of 64 bits, got a larger one"),
        ([2**200], r"events.value: expected one type in a column, .* numbers of 64 bits"),
        (["\ud800"], r"events.value: expected one type in a column, .* \(UnicodeEncodeError\)"),
        ([{"a": 1}], r"events.value: expected text, numbers or times, got an object"),
        ([[1, 2]], r"events.value: expected text, numbers or times, got a list"),
        ([1, [[[[]]]]], r"events.value: expected text, numbers or times, got a list"),
        ([[]], r"events.value: expected text, numbers or times, got a list"),
    ],
)
def test_what_no_column_can_hold_is_refused(cells: list[Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        rows_frame([{"value": cell} for cell in cells], "events")


def test_more_columns_than_a_table_has_are_refused_before_they_are_made() -> None:
    rows = [{f"column {number}": 1} for number in range(MAX_COLUMNS)]
    assert rows_frame(rows, "events").shape == (MAX_COLUMNS, MAX_COLUMNS)
    with pytest.raises(DataError, match="events: expected at most 200 columns, got 201"):
        rows_frame([*rows, {"one more": 1}], "events")


def test_a_name_that_is_no_utf8_is_refused_with_its_escape() -> None:
    with pytest.raises(DataError, match=r"events\..*ud800"):
        rows_frame([{"\ud800": 1}], "events")
