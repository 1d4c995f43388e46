from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recmem.text.token_rows import TokenRows, ragged_places

ROWS = st.lists(st.lists(st.integers(0, 250_000), max_size=5), max_size=8)


@given(ROWS)
def test_rows_come_back_as_they_were(rows: list[list[int]]) -> None:
    made = TokenRows.of(rows)
    assert made.to_lists() == rows
    assert made.lengths.tolist() == [len(row) for row in rows]
    assert len(made) == len(rows)


@given(st.lists(ROWS, max_size=4))
def test_parts_are_concatenated_in_order(parts: list[list[list[int]]]) -> None:
    assert TokenRows.concatenated([TokenRows.of(part) for part in parts]).to_lists() == [
        row for part in parts for row in part
    ]


@given(ROWS.filter(bool), st.data())
def test_rows_are_taken_in_any_order_and_twice(rows: list[list[int]], data: st.DataObject) -> None:
    taken = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=10))
    assert TokenRows.of(rows).taken(np.array(taken, np.int64)).to_lists() == [rows[row] for row in taken]


def test_a_row_without_tokens_gets_one() -> None:
    assert TokenRows.of([[], [4, 5], [], []]).without_empty(9).to_lists() == [[9], [4, 5], [9], [9]]
    assert TokenRows.of([[4]]).without_empty(9).to_lists() == [[4]]


def test_places_count_up_from_each_start() -> None:
    assert ragged_places(np.array([7, 0, 3]), np.array([2, 0, 3])).tolist() == [7, 8, 3, 4, 5]
