from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import slow_reference
from cancelled_logs import Cancellation, cancellations, expected_queries, frame_of
from five_item_dataset import CONFIG, catalogue
from recmem.dataset.dataset import Dataset
from slow_reference import Event
from strategies import LAST_TIME, event_log, impression_frame, logs
from training.queries import Queries, queries_between

Row = tuple[int, int, list[int]]


def rows(queries: Queries) -> list[Row]:
    return list(zip(queries.times.tolist(), queries.users.tolist(), queries.positives.to_lists(), strict=True))


def slow_queries(log: list[Event], begin: int, end: int, *, with_history: bool = True) -> list[Row]:
    """(time, user, new positives) of every moment of a user, straight from the definition."""
    found = []
    for time, user in sorted({(event.time, event.user) for event in log if begin < event.time <= end}):
        mine = [event for event in log if event.user == user]
        earlier = {event.item for event in mine if event.time < time}
        new = {event.item for event in mine if event.time == time and slow_reference.sign(event) > 0} - earlier
        has_history = any(slow_reference.is_known(event, time) for event in mine)
        if new and has_history == with_history:
            found.append((time, user, sorted(new)))
    return found


def test_queries_of_a_case_by_hand() -> None:
    log = [
        Event(0, 1, 1),
        Event(0, 2, 5),
        Event(0, 1, 5),  # again: nothing new
        Event(0, 3, 5),
        Event(0, 4, 6, "skip"),  # against: no positive
        Event(0, 4, 7),  # and no longer new
        Event(1, 4, 5),  # a user's first
        Event(1, 0, 9),
    ]
    assert rows(queries_between(event_log(log), 0, 8)) == [(5, 0, [2, 3])]
    assert rows(queries_between(event_log(log), 0, 9)) == [(5, 0, [2, 3]), (9, 1, [0])]
    assert rows(queries_between(event_log(log), 5, 8)) == []
    assert rows(queries_between(event_log(log), 0, 9, with_history=False)) == [(1, 0, [1]), (5, 1, [4])]


@given(logs(), st.integers(-1, LAST_TIME), st.integers(-1, LAST_TIME), st.booleans())
def test_queries_are_those_of_the_definition(log: list[Event], begin: int, end: int, with_history: bool) -> None:
    found = queries_between(event_log(log), begin, end, with_history=with_history)
    assert rows(found) == slow_queries(log, begin, end, with_history=with_history)


@given(logs(late=False), cancellations(), st.integers(-1, LAST_TIME), st.integers(-1, 2 * LAST_TIME))
def test_what_was_taken_back_is_history_and_not_new_as_long_as_it_counted(
    log: list[Event], taken_back: list[Cancellation], begin: int, end: int
) -> None:
    frame = frame_of(log, taken_back)
    dataset = Dataset.of(catalogue(), frame, impression_frame([]), CONFIG)
    for with_history in (True, False):
        found = queries_between(dataset.log_at(end), begin, end, with_history=with_history, cancelled=dataset.cancelled)
        ids = [
            (time, dataset.users[user], {catalogue().ids[item] for item in items}) for time, user, items in rows(found)
        ]
        assert ids == [query[:3] for query in expected_queries(frame, begin, end) if bool(query.had) == with_history]


@given(logs(late=False), st.integers(0, LAST_TIME))
def test_two_periods_hold_the_queries_of_both(log: list[Event], cut: int) -> None:
    read = event_log(log)
    whole = rows(queries_between(read, -1, LAST_TIME))
    assert rows(queries_between(read, -1, cut)) + rows(queries_between(read, cut, LAST_TIME)) == whole


@given(logs(late=False), logs(late=False, from_time=LAST_TIME + 1))
def test_later_events_change_no_earlier_query(past: list[Event], future: list[Event]) -> None:
    queries = [rows(queries_between(event_log(log), -1, LAST_TIME)) for log in (past, past + future)]
    assert queries[0] == queries[1]


def test_queries_are_spread_evenly_over_time() -> None:
    log = [Event(0, item % 5, time) for item, time in enumerate(range(5))] + [Event(1, n, n) for n in range(5)]
    queries = queries_between(event_log(log), -1, 9)
    assert len(queries) == 8
    assert rows(queries.spread(3)) == [rows(queries)[place] for place in (0, 3, 7)]
    assert queries.spread(8) is queries


def test_queries_are_taken_in_the_order_asked_for() -> None:
    queries = queries_between(event_log([Event(0, n, n) for n in range(5)]), -1, 9)
    assert rows(queries.take(np.array([3, 0]))) == [rows(queries)[3], rows(queries)[0]]


def test_an_empty_log_has_no_query() -> None:
    assert len(queries_between(event_log([]), -1, LAST_TIME)) == 0
