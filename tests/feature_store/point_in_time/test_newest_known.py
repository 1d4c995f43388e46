"""The newest row of a key as of a time, against a walk through all rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feature_store.point_in_time.newest_known import NO_ROW, NewestRows
from feature_store.point_in_time.read_protocol import END_OF_TIME

N_KEYS = 4
LAST_TIME = 8

Row = tuple[int, int, int, int]
"""Key, when it happened, when it became known, when it was cancelled."""


def rows() -> st.SearchStrategy[list[Row]]:
    """Rows with ties in time, late arrivals and cancellations."""

    def row(key: int, time: int, late: int, life: int | None) -> Row:
        known = time + 1 + late
        return key, time, known, END_OF_TIME if life is None else known + life

    lives = st.one_of(st.none(), st.integers(1, LAST_TIME))
    times = st.integers(0, LAST_TIME)
    return st.lists(st.builds(row, st.integers(0, N_KEYS - 2), times, st.integers(0, 3), lives), max_size=12)


def newest(made: list[Row], key: int, time: int) -> int:
    """The row that holds, by looking at all of them."""
    held = [
        (happened, known, number)
        for number, (own, happened, known, until) in enumerate(made)
        if own == key and known <= time < until
    ]
    return max(held)[2] if held else NO_ROW


def index_of(made: list[Row]) -> NewestRows:
    keys, times, known, until = np.array(made, np.int64).reshape(-1, 4).T
    return NewestRows(keys, times, known, until)


@given(rows())
def test_the_row_that_happened_last_of_those_known_and_not_cancelled_holds(made: list[Row]) -> None:
    asked = [(key, time) for key in range(N_KEYS) for time in range(2 * LAST_TIME)]
    keys, times = np.array(asked, np.int64).T
    assert index_of(made).at(keys, times).tolist() == [newest(made, *each) for each in asked]


@given(rows())
def test_rows_without_a_cancellation_need_no_ends(made: list[Row]) -> None:
    lasting = [(*row[:3], END_OF_TIME) for row in made]
    keys, times, known, _ = np.array(lasting, np.int64).reshape(-1, 4).T
    asked = np.array([(key, time) for key in range(N_KEYS) for time in range(2 * LAST_TIME)], np.int64).T
    assert NewestRows(keys, times, known).at(*asked).tolist() == index_of(lasting).at(*asked).tolist()


def test_a_key_without_any_row_and_a_key_of_minus_one_have_none() -> None:
    index = index_of([(1, 0, 1, END_OF_TIME)])
    assert index.at(np.array([-1, 0, 1, 2]), np.array([9, 9, 9, 9])).tolist() == [NO_ROW, NO_ROW, 0, NO_ROW]
    empty = index_of([])
    assert empty.at(np.array([0]), np.array([5])).tolist() == [NO_ROW]


def test_many_lookups_give_what_few_give() -> None:
    random = np.random.default_rng(0)
    times = random.integers(0, 1000, 500)
    index = NewestRows(random.integers(0, 50, 500), times, times + 1 + random.integers(0, 30, 500))
    keys = random.integers(-1, 52, 20_000)
    asked = random.integers(0, 1100, 20_000)
    few = np.concatenate([index.at(keys[n : n + 100], asked[n : n + 100]) for n in range(0, 20_000, 100)])
    assert np.array_equal(index.at(keys, asked), few)
