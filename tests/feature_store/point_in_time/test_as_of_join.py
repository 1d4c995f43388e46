from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import slow_reference
from feature_store.point_in_time import as_of_join
from feature_store.point_in_time.as_of_join import MANY, AsOfIndex, known_at
from strategies import LAST_TIME, N_USERS, Event, logs, times

KEYS = st.integers(-1, N_USERS)
LIMITS = st.integers(1, 5)


def flat(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def index_of(log: list[Event]) -> AsOfIndex:
    """Keyed by user; rows are places in `log`."""
    known = flat(*(slow_reference.first_known(event) for event in log))
    return AsOfIndex(flat(*(event.user for event in log)), known)


def known_rows(log: list[Event], key: int, time: int) -> list[int]:
    rows = [row for row, event in enumerate(log) if event.user == key and slow_reference.is_known(event, time)]
    return sorted(rows, key=lambda row: (slow_reference.first_known(log[row]), row))


@pytest.mark.parametrize(
    ("time", "available", "first"),
    [(10, None, 11), (10, 3, 11), (10, 10, 11), (10, 11, 11), (10, 25, 25), (-5, None, -4)],
)
def test_an_event_may_be_used_after_it_happened_and_from_its_arrival_on(
    time: int, available: int | None, first: int
) -> None:
    arrival = None if available is None else flat(available)
    assert known_at(flat(time), arrival).tolist() == [first]


@given(logs(min_size=1))
def test_known_at_is_the_first_microsecond_at_which_the_definition_holds(log: list[Event]) -> None:
    never = -(10**9)
    arrivals = flat(*(never if event.available is None else event.available for event in log))
    known = known_at(flat(*(event.time for event in log)), arrivals)
    assert known.tolist() == [slow_reference.first_known(event) for event in log]


def test_rows_of_a_key_as_of_a_time_by_hand() -> None:
    index = AsOfIndex(keys=flat(1, 0, 1, 1), known=flat(30, 10, 10, 20))
    assert index.last(flat(1, 1, 1, 1), flat(9, 10, 29, 30)).to_lists() == [[], [2], [2, 3], [2, 3, 0]]
    assert index.last(flat(1), flat(30), limit=2).to_lists() == [[3, 0]]
    assert index.counts(flat(1, 1), flat(30, 30), window=10).tolist() == [1, 1]
    assert index.counts(flat(1), flat(30), window=11).tolist() == [2]
    assert index.known_until(flat(9, 10, 20, 99)).tolist() == [0, 2, 3, 4]


def test_event_at_the_query_time_is_not_known() -> None:
    log = [Event(user=0, item=0, time=10)]
    assert index_of(log).counts(flat(0, 0), flat(10, 11)).tolist() == [0, 1]


@given(logs(), KEYS, times(), LIMITS)
def test_last_rows_and_counts_are_those_of_the_definition(log: list[Event], key: int, time: int, limit: int) -> None:
    index = index_of(log)
    expected = known_rows(log, key, time)
    assert index.last(flat(key), flat(time)).to_lists() == [expected]
    assert index.last(flat(key), flat(time), limit).to_lists() == [expected[-limit:]]
    assert index.counts(flat(key), flat(time)).tolist() == [len(expected)]


@given(logs(), KEYS, times(), st.integers(0, LAST_TIME))
def test_a_window_counts_what_became_known_within_it(log: list[Event], key: int, time: int, window: int) -> None:
    earlier = set(known_rows(log, key, time - window))
    expected = len([row for row in known_rows(log, key, time) if row not in earlier])
    assert index_of(log).counts(flat(key), flat(time), window).tolist() == [expected]


@given(logs(), times())
def test_known_until_counts_all_keys(log: list[Event], time: int) -> None:
    expected = sum(slow_reference.is_known(event, time) for event in log)
    assert index_of(log).known_until(flat(time)).tolist() == [expected]


@given(logs(), st.lists(st.tuples(KEYS, times()), max_size=6), LIMITS)
def test_queries_of_a_batch_are_answered_as_single_ones(
    log: list[Event], queries: list[tuple[int, int]], limit: int
) -> None:
    index = index_of(log)
    keys = flat(*(key for key, _ in queries))
    at = flat(*(time for _, time in queries))
    batch = index.last(keys, at, limit).to_lists()
    assert batch == [index.last(flat(key), flat(time), limit).to_lists()[0] for key, time in queries]


@given(logs(), logs(from_time=LAST_TIME), KEYS)
def test_events_at_or_after_a_time_change_nothing_at_it(past: list[Event], future: list[Event], key: int) -> None:
    read = [
        index_of(log).last(flat(key), flat(LAST_TIME)).to_lists()
        for log in (past, past + future, [event for event in past if slow_reference.is_known(event, LAST_TIME)])
    ]
    # Row numbers of the third log differ, so its events are compared.
    known = [event for event in past if slow_reference.is_known(event, LAST_TIME)]
    assert read[0] == read[1]
    assert [past[row] for row in read[0][0]] == [known[row] for row in read[2][0]]


@pytest.mark.parametrize("is_sorted", [True, False])
def test_bulk_reads_are_the_same_with_numba_and_without(monkeypatch: pytest.MonkeyPatch, is_sorted: bool) -> None:
    pytest.importorskip("numba", reason="pip install 'recmem[numba]'")
    random = np.random.default_rng(0)
    n = MANY + 1
    keys = random.integers(0, 70_000, n)
    known = random.integers(0, 5_000, n)
    wanted = random.choice([-1, 70_001, *keys], n)
    at = random.integers(-1, 5_001, n)
    known = np.sort(known) if is_sorted else known
    compiled = AsOfIndex(keys, known)
    ends = compiled.ends(wanted, at)
    counts = compiled.counts(wanted, at, window=100)
    monkeypatch.setattr(as_of_join, "find_spec", lambda name: None)
    plain = AsOfIndex(keys, known)
    assert np.array_equal(compiled.order, plain.order)
    assert np.array_equal(ends, plain.ends(wanted, at))
    assert np.array_equal(counts, plain.counts(wanted, at, window=100))
    assert ends.tolist() == [int(compiled.ends(wanted[[row]], at[[row]])[0]) for row in range(n)]
