from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from feature_store.point_in_time.newest_rows import ALWAYS, NO_ROW, NewestRows, when_change_known, when_changed
from feature_store.point_in_time.read_protocol import END_OF_TIME

NUMBERS = st.integers(0, 6)
ROWS = st.lists(st.tuples(st.integers(0, 3), NUMBERS, NUMBERS), max_size=12)
"""Key, time and arrival of each row."""


def index_of(rows: list[tuple[int, int, int]]) -> NewestRows:
    keys, times, arrivals = np.array(rows, np.int64).reshape(-1, 3).T
    return NewestRows(keys, times, np.maximum(times + 1, arrivals))


def at(index: NewestRows, *queries: tuple[int, int]) -> list[int]:
    keys, times = np.array(queries, np.int64).reshape(-1, 2).T
    return index.at(keys, times).tolist()


def test_a_row_holds_from_the_microsecond_after_its_time_until_the_next_one() -> None:
    index = index_of([(0, 10, 0), (0, 20, 0), (1, 15, 0)])
    assert at(index, (0, 10), (0, 11), (0, 20), (0, 21), (0, 99)) == [-1, 0, 0, 1, 1]
    assert at(index, (1, 15), (1, 16), (-1, 99), (2, 99)) == [-1, 2, -1, -1]


def test_a_row_that_arrives_after_a_later_one_changes_nothing() -> None:
    index = index_of([(0, 20, 0), (0, 10, 50)])
    assert at(index, (0, 20), (0, 21), (0, 50), (0, 99)) == [-1, 0, 0, 0]


def test_there_is_nothing_to_read_without_rows() -> None:
    assert at(index_of([]), (0, 5), (-1, 5)) == [-1, -1]


@given(ROWS, st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 9)), max_size=8))
def test_the_newest_known_row_is_the_one_that_a_slow_search_finds(
    rows: list[tuple[int, int, int]], queries: list[tuple[int, int]]
) -> None:
    found = at(index_of(rows), *queries)
    for (key, time), row in zip(queries, found, strict=True):
        known = [
            (happened, max(happened + 1, arrival), number)
            for number, (own, happened, arrival) in enumerate(rows)
            if own == key and max(happened + 1, arrival) <= time
        ]
        assert row == (max(known)[2] if known else -1)


@given(ROWS, ROWS, st.integers(0, 8))
def test_no_row_at_or_after_a_time_changes_what_is_read_then(
    rows: list[tuple[int, int, int]], more: list[tuple[int, int, int]], time: int
) -> None:
    later = [(key, time + happened, arrival) for key, happened, arrival in more]
    queries = [(key, time) for key in range(4)]
    assert at(index_of(rows), *queries) == at(index_of([*rows, *later]), *queries)


def test_rows_without_a_time_always_held_and_those_with_an_arrival_alone_hold_from_it_on() -> None:
    day = datetime(2026, 1, 1, tzinfo=UTC)
    micros = int(day.timestamp() * 1e6)
    later = datetime(2026, 1, 2, tzinfo=UTC)
    table = pl.DataFrame(
        {"timestamp": [None, None, day, day], "available_at": [None, later, None, later]},
        schema={"timestamp": pl.Datetime("us", "UTC"), "available_at": pl.Datetime("us", "UTC")},
    )
    arrived = int(later.timestamp() * 1e6)
    assert table.select(when_changed()).to_series().to_list() == [ALWAYS, arrived, micros, micros]
    assert table.select(when_change_known()).to_series().to_list() == [ALWAYS, arrived, micros + 1, arrived]


# Rows that are cancelled

N_KEYS = 4
LAST_TIME = 8

Row = tuple[int, int, int, int]
"""Key, when it happened, when it became known, when it was cancelled."""


def cancellable_rows() -> st.SearchStrategy[list[Row]]:
    """Rows with ties in time, late arrivals and cancellations."""

    def row(key: int, time: int, late: int, life: int | None) -> Row:
        known = time + 1 + late
        return key, time, known, END_OF_TIME if life is None else known + life

    lives = st.one_of(st.none(), st.integers(1, LAST_TIME))
    times = st.integers(0, LAST_TIME)
    return st.lists(st.builds(row, st.integers(0, N_KEYS - 2), times, st.integers(0, 3), lives), max_size=12)


def newest_valid(made: list[Row], key: int, time: int) -> int:
    """The row that holds, by looking at all of them."""
    held = [
        (happened, known, number)
        for number, (own, happened, known, until) in enumerate(made)
        if own == key and known <= time < until
    ]
    return max(held)[2] if held else NO_ROW


def cancellable_index(made: list[Row]) -> NewestRows:
    keys, times, known, until = np.array(made, np.int64).reshape(-1, 4).T
    return NewestRows(keys, times, known, until)


@given(cancellable_rows())
def test_the_row_that_happened_last_of_those_known_and_not_cancelled_holds(made: list[Row]) -> None:
    asked = [(key, time) for key in range(N_KEYS) for time in range(2 * LAST_TIME)]
    keys, times = np.array(asked, np.int64).T
    assert cancellable_index(made).at(keys, times).tolist() == [newest_valid(made, *each) for each in asked]


@given(cancellable_rows())
def test_rows_without_a_cancellation_need_no_ends(made: list[Row]) -> None:
    lasting = [(*row[:3], END_OF_TIME) for row in made]
    keys, times, known, _ = np.array(lasting, np.int64).reshape(-1, 4).T
    asked = np.array([(key, time) for key in range(N_KEYS) for time in range(2 * LAST_TIME)], np.int64).T
    assert NewestRows(keys, times, known).at(*asked).tolist() == cancellable_index(lasting).at(*asked).tolist()


def test_a_key_without_any_row_and_a_key_of_minus_one_have_none() -> None:
    index = cancellable_index([(1, 0, 1, END_OF_TIME)])
    assert index.at(np.array([-1, 0, 1, 2]), np.array([9, 9, 9, 9])).tolist() == [NO_ROW, NO_ROW, 0, NO_ROW]
    empty = cancellable_index([])
    assert empty.at(np.array([0]), np.array([5])).tolist() == [NO_ROW]


def test_many_lookups_give_what_few_give() -> None:
    random = np.random.default_rng(0)
    times = random.integers(0, 1000, 500)
    index = NewestRows(random.integers(0, 50, 500), times, times + 1 + random.integers(0, 30, 500))
    keys = random.integers(-1, 52, 20_000)
    asked = random.integers(0, 1100, 20_000)
    few = np.concatenate([index.at(keys[n : n + 100], asked[n : n + 100]) for n in range(0, 20_000, 100)])
    assert np.array_equal(index.at(keys, asked), few)
