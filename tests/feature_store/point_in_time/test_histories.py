from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_reference
from feature_store.point_in_time.as_of_join import MANY
from feature_store.point_in_time.further_slots import NO_TIME
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from slow_reference import Remembered
from strategies import LAST_TIME, N_USERS, Event, event_log, logs, times

QUERIES = st.lists(st.tuples(st.integers(-1, N_USERS - 1), times()), max_size=6)
LIMITS = st.integers(1, 6)

FEWER = settings(max_examples=50)  # each draws a log


def flat(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def read(log: list[Event], queries: list[tuple[int, int]], limit: int) -> Histories:
    users = flat(*(user for user, _ in queries))
    at = flat(*(time for _, time in queries))
    return Histories.as_of(event_log(log), users, at, limit)


def as_lists(histories: Histories) -> list[list[Remembered]]:
    found = []
    for row in range(len(histories)):
        part = slice(*histories.items.offsets[row : row + 2])
        entries = zip(
            histories.items.values[part].tolist(),
            histories.times[part].tolist(),
            histories.signs[part].tolist(),
            histories.recency[part].tolist(),
            strict=True,
        )
        found.append([Remembered(*entry) for entry in entries])
    return found


def test_history_of_a_case_by_hand() -> None:
    log = [
        Event(0, 3, 10, "rating", 1.0),
        Event(0, 1, 20),
        Event(0, 2, 20, "rating", 3.0),
        Event(1, 4, 15),
        Event(0, 4, 30),
        Event(0, 0, 5, available=40),
    ]
    basket = [Remembered(1, 20, 1, 0), Remembered(2, 20, 0, 0)]
    assert as_lists(read(log, [(0, 30)], 9)) == [[Remembered(3, 10, -1, 1), *basket]]
    assert as_lists(read(log, [(0, 20), (2, 99), (-1, 99)], 9)) == [[Remembered(3, 10, -1, 0)], [], []]
    assert as_lists(read(log, [(0, 30)], 2)) == [basket]
    # The late event is the newest to become known, though not the newest to happen.
    assert [entry.item for entry in as_lists(read(log, [(0, 39)], 9))[0]] == [3, 1, 2, 4]
    assert [entry.item for entry in as_lists(read(log, [(0, 40)], 9))[0]] == [3, 1, 2, 4, 0]


@FEWER
@given(logs(), QUERIES, LIMITS)
def test_histories_are_those_of_the_oracle(log: list[Event], queries: list[tuple[int, int]], limit: int) -> None:
    expected = [slow_reference.history(log, user, time, limit) for user, time in queries]
    assert as_lists(read(log, queries, limit)) == expected


@FEWER
@given(logs(late=False), st.integers(0, N_USERS - 1), times())
def test_events_of_one_time_are_not_in_each_others_history(log: list[Event], user: int, time: int) -> None:
    (history,) = as_lists(read(log, [(user, time)], 99))
    assert all(entry.time < time for entry in history)


@FEWER
@given(logs(), QUERIES, LIMITS, LIMITS)
def test_the_newest_of_a_history_are_a_shorter_history(
    log: list[Event], queries: list[tuple[int, int]], limit: int, fewer: int
) -> None:
    shorter = read(log, queries, limit).newest(fewer)
    assert as_lists(shorter) == as_lists(read(log, queries, min(limit, fewer)))


@FEWER
@given(logs(), QUERIES, st.randoms(use_true_random=False))
def test_taking_queries_is_indexing_the_lists(
    log: list[Event], queries: list[tuple[int, int]], random: np.random.Generator
) -> None:
    histories = read(log, queries, 9)
    chosen = [random.randrange(len(queries)) for _ in range(4)] if queries else []
    lists = as_lists(histories)
    assert as_lists(histories.take(flat(*chosen))) == [lists[row] for row in chosen]


@FEWER
@given(logs(), QUERIES)
def test_events_can_be_left_out_of_all_histories(log: list[Event], queries: list[tuple[int, int]]) -> None:
    histories = read(log, queries, 9)
    kept = as_lists(histories.where(histories.items.values < 3))
    assert kept == [[entry for entry in row if entry.item < 3] for row in as_lists(histories)]


@FEWER
@given(logs(), logs(from_time=LAST_TIME), st.integers(0, N_USERS - 1))
def test_events_at_or_after_the_query_change_no_history(past: list[Event], future: list[Event], user: int) -> None:
    query = [(user, LAST_TIME)]
    known = [event for event in past if slow_reference.is_known(event, LAST_TIME)]
    histories = [as_lists(read(log, query, 9)) for log in (past, past + future, known)]
    assert histories[0] == histories[1] == histories[2]


@FEWER
@given(logs(), st.lists(st.lists(times(), max_size=3), max_size=4))
def test_visits_since_a_time_begin_with_the_first_event_after_it(log: list[Event], since: list[list[int]]) -> None:
    histories = read(log, [(row % N_USERS, LAST_TIME) for row in range(len(since))], 9)
    expected = [
        max((event.recency + 1 for event in history if event.time > time), default=0)
        for history, row in zip(as_lists(histories), since, strict=True)
        for time in row
    ]
    assert histories.visits_since(Ragged.from_lists(since)).tolist() == expected


def test_an_event_that_arrived_late_hides_no_visit_before_it() -> None:
    histories = read([Event(0, 1, 4), Event(0, 2, 1, available=6)], [(0, 9)], 9)
    assert histories.times.tolist() == [4, 1]
    assert histories.visits_since(Ragged.from_lists([[3]])).tolist() == [2]


def test_no_visits_are_counted_since_no_time() -> None:
    histories = read([Event(0, 1, 2), Event(0, 2, 4)], [(0, 9)], 9)
    assert histories.visits_since(Ragged.from_lists([[NO_TIME, 0, 3, 4]])).tolist() == [0, 2, 1, 0]


def test_long_histories_in_bulk_are_the_same_as_one_after_the_other() -> None:
    random = np.random.default_rng(0)
    log = event_log([Event(int(user), 1, int(time)) for user, time in random.integers(0, (4, 300), (900, 2))])
    users = random.integers(-1, 4, 100)
    at = random.integers(0, 400, 100)
    bulk = Histories.as_of(log, users, at, 1000)
    assert len(bulk.times) > MANY
    single = [Histories.as_of(log, users[[row]], at[[row]], 1000) for row in range(len(users))]
    assert as_lists(bulk) == [row for histories in single for row in as_lists(histories)]
