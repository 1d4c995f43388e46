"""Delimited text line by line: which lines are rows, and why the others are not."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.files.delimited_records import Records, read_records, split_fields
from feature_store.files.file_rows import BadLine


def records(text: str, n_fields: int = 3) -> Records:
    return read_records(text.split("\n"), separator=",", n_fields=n_fields, first_line=2, known_bad={})


def bad(found: Records) -> list[tuple[int, str]]:
    return [(line.number, line.reason.removeprefix("line: expected ")) for line in found.bad]


def test_lines_with_too_few_or_too_many_fields_cost_only_themselves() -> None:
    found = records("a,b,c\na,b\na,b,c,d\nd,e,f")
    assert found.cells == [["a", "b", "c"], ["d", "e", "f"]]
    assert found.lines == [2, 5]
    assert bad(found) == [(3, "3 fields, got 2"), (4, "3 fields, got 4")]
    assert [line.text for line in found.bad] == ["a,b", "a,b,c,d"]


def test_a_quote_in_a_field_without_quotes_is_text() -> None:
    found = records('i1,27" monitor,5\ni2,5\'10",6')
    assert found.cells == [["i1", '27" monitor', "5"], ["i2", "5'10\"", "6"]]
    assert found.bad == []
    assert found.stray_quotes == []


def test_a_quote_within_quotes_that_no_separator_follows_is_text_with_a_warning() -> None:
    found = records('i1,"27" monitor",5\ni2,"a ""b"" c",6')
    assert found.cells == [["i1", '27" monitor', "5"], ["i2", 'a "b" c', "6"]]
    assert found.stray_quotes == [2]


def test_an_unclosed_quote_swallows_no_other_row() -> None:
    found = records('i1,"foo,5\ni2,bar,6\ni3,"baz",7\ni4,qux,8')
    assert [row[0] for row in found.cells] == ["i2", "i3", "i4"]
    assert bad(found) == [(2, "closed quotes, got a quoted field that does not end")]


def test_a_field_in_quotes_may_span_lines() -> None:
    found = records('i1,"two\nlines",5\r\ni2,x,6\ni3,y')
    assert found.cells == [["i1", "two\nlines", "5"], ["i2", "x", "6"]]
    assert found.lines == [2, 4]
    assert bad(found) == [(5, "3 fields, got 2")]


def test_a_record_over_lines_with_too_many_fields_is_bad_as_a_whole() -> None:
    found = records('i1,"two\nlines",5,6\ni2,x,6')
    assert [line.text for line in found.bad] == ['i1,"two\nlines",5,6']
    assert found.cells == [["i2", "x", "6"]]


def test_a_quote_that_swallowed_rows_and_fits_no_record_costs_its_own_line_only() -> None:
    found = records('i1,"foo,5\ni2,bar,6\ni3,x",7,8,9')
    assert [row[0] for row in found.cells] == ["i2"]
    assert [line.number for line in found.bad] == [2, 4]


def test_empty_lines_are_passed_over_and_empty_surplus_fields_left_out() -> None:
    found = records("a,b,c\n\n\r\nd,e,f,,\n")
    assert found.cells == [["a", "b", "c"], ["d", "e", "f"]]
    assert found.padded == [5]


def test_lines_with_a_nul_byte_and_lines_known_to_be_bad_are_set_aside() -> None:
    known = {3: BadLine(3, "line: expected UTF-8 text, got other bytes", "?")}
    found = read_records(["a,\0,c", "x,y,z", "a,b,c"], separator=",", n_fields=3, first_line=2, known_bad=known)
    assert bad(found) == [(2, "text, got a NUL byte"), (3, "UTF-8 text, got other bytes")]
    assert found.lines == [4]


def test_an_empty_field_is_none_and_empty_quotes_are_empty_text() -> None:
    assert split_fields('a,,""', ",").cells == ["a", None, ""]


@given(
    rows=st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0")), min_size=2, max_size=2), min_size=1
    )
)
def test_what_pythons_csv_module_writes_is_read_back(rows: list[list[str]]) -> None:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    found = records(written.getvalue(), n_fields=2)
    assert found.cells == rows
    assert found.bad == []


@pytest.mark.parametrize("n_lines", [200, 3_000])
def test_many_unclosed_quotes_lose_no_line(n_lines: int) -> None:
    found = records("\n".join(f'i{n},"x,{n}' if n % 3 else f"i{n},x,{n}" for n in range(n_lines)))
    assert len(found.cells) + len(found.bad) == n_lines
