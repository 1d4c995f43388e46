"""The layout of regular text agrees with reading line by line; irregular text has none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.files.delimited_layout import regular_layout
from feature_store.files.delimited_records import read_records


def lines_of(text: str, n_fields: int = 2) -> list[int] | None:
    layout = regular_layout(text.encode(), separator=",", n_fields=n_fields)
    return None if layout is None else layout.lines[~layout.is_blank].tolist()


def test_records_are_found_with_their_lines_across_quoted_line_ends_and_empty_lines() -> None:
    assert lines_of('a,b\n"c\nd",e\n\nf,"g""h"') == [0, 1, 4]
    assert lines_of("a,b\r\n\r\nc,d") == [0, 2]


@pytest.mark.parametrize(
    "text",
    ["a,b\nc", "a,b\nc,d,e", 'a,27" tv', 'a,"b', 'a,"b"c', 'a,"27" tv"', 'a"b",c', "a,\0"],
)
def test_ragged_lines_and_misplaced_quotes_have_no_layout(text: str) -> None:
    assert lines_of(text) is None


@given(text=st.text(st.sampled_from('ab,"\n\r '), min_size=1, max_size=30))
def test_text_with_a_layout_has_the_same_rows_line_by_line(text: str) -> None:
    text = text.rstrip("\r\n")
    lines = lines_of(text) if text else None
    if lines is not None:
        found = read_records(text.split("\n"), separator=",", n_fields=2, first_line=0, known_bad={})
        assert found.bad == []
        assert found.stray_quotes == []
        assert found.lines == lines
