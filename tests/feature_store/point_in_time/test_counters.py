from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_reference
from feature_store import EventLog
from feature_store.point_in_time.counters import CounterConfig, item_counters, new_item_counters, user_counters
from strategies import LAST_TIME, N_ITEMS, N_USERS, Event, event_log, logs, times
from tolerances import close

WINDOWS = {"short": 2, "medium": 4, "long": 8}
CONFIG = CounterConfig(**WINDOWS, span=20)
ITEM_QUERIES = st.lists(st.tuples(st.integers(0, N_ITEMS), times()), min_size=1, max_size=6)
USER_QUERIES = st.lists(st.tuples(st.integers(-1, N_USERS), times()), min_size=1, max_size=6)

FEWER = settings(max_examples=50)  # each draws a log


def rows_and_times(queries: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    rows, at = np.array(queries, dtype=np.int64).T
    return rows, at


def of_items(log: list[Event], queries: list[tuple[int, int]]) -> dict[str, np.ndarray]:
    return item_counters(event_log(log), *rows_and_times(queries), CONFIG)


def of_users(log: list[Event], queries: list[tuple[int, int]]) -> dict[str, np.ndarray]:
    return user_counters(event_log(log), *rows_and_times(queries), CONFIG)


def same(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(actual) == list(expected)
    for name, column in actual.items():
        close(column, expected[name], "exact")


def test_item_counters_of_a_case_by_hand() -> None:
    log = [Event(0, 1, 2), Event(1, 1, 9), Event(2, 1, 10), Event(2, 1, 11), Event(0, 1, 12)]
    at_12 = of_items(log, [(1, 12)])
    close(at_12["popularity"], [math.log(5)], "float32")
    close(at_12["popularity_short"], [math.log(3)], "float32")  # what became known in (10, 12]
    close(at_12["popularity_medium"], [math.log(4)], "float32")
    close(at_12["popularity_long"], [math.log(4)], "float32")
    close(at_12["trend"], [(3 + 1) / (3 + 2)], "float32")
    close(at_12["item_age"], [10 / 20], "float32")


def test_a_new_item_and_a_new_user_have_defined_counters() -> None:
    item = of_items([], [(0, 5)])
    user = of_users([], [(-1, 5)])
    assert {name: float(column[0]) for name, column in item.items()} == {
        "popularity": 0,
        "popularity_short": 0,
        "popularity_medium": 0,
        "popularity_long": 0,
        "trend": 0.5,
        "item_age": -1,
    }
    assert {name: float(column[0]) for name, column in user.items()} == {"user_events": 0, "user_gap": -1}


def test_user_counters_of_a_case_by_hand() -> None:
    found = of_users([Event(0, 1, 2), Event(0, 2, 4), Event(0, 2, 8)], [(0, 8)])
    close(found["user_events"], [math.log(3)], "float32")
    close(found["user_gap"], [math.log(1 + (8 - 4) / 2)], "float32")


@FEWER
@given(logs(), ITEM_QUERIES)
def test_item_counters_are_those_of_the_oracle(log: list[Event], queries: list[tuple[int, int]]) -> None:
    found = of_items(log, queries)
    for place, (item, time) in enumerate(queries):
        expected = slow_reference.item_counters(log, item, time, WINDOWS, CONFIG.span)
        assert expected.keys() == found.keys()
        for name, column in found.items():
            close(column[place], expected[name], "float32")


@FEWER
@given(logs(), USER_QUERIES)
def test_user_counters_are_those_of_the_oracle(log: list[Event], queries: list[tuple[int, int]]) -> None:
    found = of_users(log, queries)
    for place, (user, time) in enumerate(queries):
        expected = slow_reference.user_counters(log, user, time, CONFIG.short)
        assert expected.keys() == found.keys()
        for name, column in found.items():
            close(column[place], expected[name], "float32")


@FEWER
@given(logs(), logs(from_time=LAST_TIME))
def test_events_at_or_after_the_query_change_no_counter(past: list[Event], future: list[Event]) -> None:
    items = [(item, LAST_TIME) for item in range(N_ITEMS)]
    users = [(user, LAST_TIME) for user in range(N_USERS)]
    known = [event for event in past if slow_reference.is_known(event, LAST_TIME)]
    for log in (past + future, known):
        same(of_items(log, items), of_items(past, items))
        same(of_users(log, users), of_users(past, users))


def test_windows_are_shares_of_the_span_of_the_log() -> None:
    config = CounterConfig.from_log(event_log([Event(0, 0, 0), Event(0, 1, 1200)]))
    assert (config.short, config.medium, config.long, config.span) == (6, 24, 100, 1200)


@pytest.mark.parametrize("log", [[], [Event(0, 0, 5)]])
def test_windows_of_a_log_without_span_are_valid(log: list[Event]) -> None:
    config = CounterConfig.from_log(event_log(log))
    assert (config.short, config.medium, config.long, config.span) == (1, 1, 1, 1)


def test_windows_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="windows: expected 0 < short <= medium <= long, got 3, 2, 5"):
        CounterConfig(short=3, medium=2, long=5, span=9)


def test_new_item_counters_are_those_of_an_item_without_events() -> None:
    config = CounterConfig(short=5, medium=20, long=90, span=1000)
    empty = np.empty(0, np.int64)
    log = EventLog(empty, empty, empty, empty, np.empty(0, np.int8))
    found = item_counters(log, np.array([3]), np.array([50]), config)
    assert {name: pytest.approx(float(column[0])) for name, column in found.items()} == new_item_counters(config)
