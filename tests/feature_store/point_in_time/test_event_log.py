from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_reference
from feature_store import EventLog, SignalConfig
from feature_store.point_in_time.event_log import rows_of
from strategies import ITEMS, N_ITEMS, USERS, Event, event_frame, logs, times
from strategies import event_log as quick_log

FEWER = settings(max_examples=40)  # each builds frames


def event_log(log: list[Event]) -> EventLog:
    return EventLog.from_frame(event_frame(log), USERS, ITEMS, SignalConfig())


def rows(log: EventLog) -> list[tuple[int, ...]]:
    return list(
        zip(
            log.user_rows.tolist(),
            log.item_rows.tolist(),
            log.times.tolist(),
            log.known.tolist(),
            log.signs.tolist(),
            strict=True,
        )
    )


def expected_rows(log: list[Event]) -> list[tuple[int, ...]]:
    return [
        (e.user, e.item, e.time, slow_reference.first_known(e), slow_reference.sign(e))
        for e in slow_reference.in_order(log)
    ]


@FEWER
@given(logs())
def test_log_holds_every_event_in_the_order_in_which_it_became_known(log: list[Event]) -> None:
    assert rows(event_log(log)) == rows(quick_log(log)) == expected_rows(log)


@FEWER
@given(logs().flatmap(lambda log: st.tuples(st.just(log), st.permutations(log))))
def test_order_of_the_frame_does_not_matter(case: tuple[list[Event], list[Event]]) -> None:
    log, shuffled = case
    assert rows(event_log(log)) == rows(event_log(shuffled))


@FEWER
@given(logs(), times())
def test_log_until_a_time_is_the_log_of_what_was_known(log: list[Event], time: int) -> None:
    known = [event for event in log if slow_reference.is_known(event, time)]
    assert rows(event_log(log).until(time)) == rows(event_log(known))


@FEWER
@given(logs())
def test_all_is_known_at_the_clock_and_not_before(log: list[Event]) -> None:
    whole = event_log(log)
    assert len(whole.until(whole.clock)) == len(log)
    if log:
        assert len(whole.until(whole.clock - 1)) < len(log)


def test_clock_of_an_empty_log_is_zero() -> None:
    assert event_log([]).clock == 0
    assert len(event_log([])) == 0


def test_events_of_items_outside_the_catalogue_are_left_out_and_counted() -> None:
    log = [Event(0, 0, 5), Event(1, 4, 6), Event(2, 4, 7)]
    read = EventLog.from_frame(event_frame(log), USERS, ITEMS.head(4), SignalConfig())
    assert rows(read) == expected_rows(log[:1])
    assert read.n_unknown_items == 2


def test_indexes_read_users_and_items() -> None:
    log = event_log([Event(0, 3, 5), Event(1, 3, 6), Event(0, 2, 7)])
    assert log.by_user.last(np.array([0, 1]), np.array([99, 99])).to_lists() == [[0, 2], [1]]
    assert log.by_item.last(np.array([3, 2]), np.array([99, 7])).to_lists() == [[0, 1], []]


def test_last_event_of_an_item_by_hand() -> None:
    log = event_log([Event(0, 3, 5), Event(1, 3, 2, available=9), Event(2, 3, 7), Event(2, 1, 8), Event(0, 3, 7)])
    times = np.array([6, 8, 10, 10])
    known, happened = log.item_lasts(np.array([3, 3, 3, 1]), times)
    assert happened.tolist() == [5, 7, 7, 8]  # at 10 the event of time 2 has just arrived, but happened long before
    assert known.tolist() == [6, 8, 8, 9]


@FEWER
@given(logs(), times())
def test_last_events_of_items_are_those_of_the_oracle(log: list[Event], time: int) -> None:
    expected = {item: slow_reference.item_last(log, item, time) for item in range(N_ITEMS)}
    items = [item for item, last in expected.items() if last is not None]
    known, happened = event_log(log).item_lasts(np.array(items, np.int64), np.full(len(items), time))
    assert list(zip(known.tolist(), happened.tolist(), strict=True)) == [expected[item] for item in items]


def test_rows_of_ids_are_their_places() -> None:
    ids = pl.Series(["b", "x", "a", None, "b"])
    assert rows_of(ids, pl.Series(["a", "b"])).to_list() == [1, -1, 0, -1, 1]


def test_ids_of_another_type_are_cast() -> None:
    assert rows_of(pl.Series(["7", "x", "5"]), pl.Series([5, 7])).to_list() == [1, -1, 0]
    assert rows_of(pl.Series([7, 9]), pl.Series(["5", "7"])).to_list() == [1, -1]
