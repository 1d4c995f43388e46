"""Cancelled events count from when they became known until they are cancelled, and never after."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_reference
from cancelled_logs import Cancellation, cancellations, frame_of, without
from feature_store import SignalConfig
from feature_store.point_in_time.cancelled_events import CancelledEvents
from feature_store.point_in_time.online_log import OnlineLog, log_of
from feature_store.point_in_time.read_protocol import END_OF_TIME, AsOf
from slow_reference import Event
from strategies import ITEMS, N_ITEMS, N_USERS, USERS, logs, times

WINDOWS = (1, 3, 9)

FEWER = settings(max_examples=60)  # each builds frames


def read(log: list[Event], cancelled: list[Cancellation]) -> AsOf:
    return log_of(frame_of(log, cancelled), USERS, ITEMS, SignalConfig())


def cancelled_events(log: list[Event], cancelled: list[Cancellation]) -> CancelledEvents:
    reads = read(log, cancelled)
    assert isinstance(reads, OnlineLog)
    assert reads.cancelled is not None
    return reads.cancelled


def not_cancelled_at(log: list[Event], cancelled: list[Cancellation], time: int) -> list[Event]:
    """The events without those whose cancellation is known by then."""
    return [log[int(event_id[1:])] for event_id in without(frame_of(log, cancelled), time)["event_id"]]


@FEWER
@given(logs(), cancellations(), times())
def test_last_events_of_items_are_those_of_the_oracle(
    log: list[Event], cancelled: list[Cancellation], time: int
) -> None:
    counting = not_cancelled_at(log, cancelled, time)
    expected = {item: slow_reference.item_last(counting, item, time) for item in range(N_ITEMS)}
    items = [item for item, last in expected.items() if last is not None]
    known, happened = read(log, cancelled).item_lasts(np.array(items, np.int64), np.full(len(items), time))
    assert list(zip(known.tolist(), happened.tolist(), strict=True)) == [expected[item] for item in items]


@FEWER
@given(logs(), cancellations(), times(), st.sampled_from(WINDOWS))
def test_counts_of_items_are_those_of_the_oracle(
    log: list[Event], cancelled: list[Cancellation], time: int, window: int
) -> None:
    counting = [event for event in not_cancelled_at(log, cancelled, time) if slow_reference.is_known(event, time)]
    in_window = [event for event in counting if not slow_reference.is_known(event, time - window)]
    counts = read(log, cancelled).item_counts(np.arange(N_ITEMS), np.full(N_ITEMS, time), (window,))
    for found, expected in zip(counts, (counting, in_window), strict=True):
        assert found.tolist() == [sum(event.item == item for event in expected) for item in range(N_ITEMS)]


@pytest.mark.parametrize(("time", "last"), [(4, [2, 1]), (5, [5, 4]), (6, [5, 4]), (7, [2, 1]), (9, [8, 3])])
def test_last_event_of_an_item_steps_back_when_the_newest_is_cancelled(time: int, last: list[int]) -> None:
    # Item 1 has events of times 1, 3 (arrives at 8) and 4 (cancelled at 6, so from 7 on).
    log = [Event(0, 1, 1), Event(1, 1, 3, available=8), Event(2, 1, 4)]
    events = cancelled_events(log, [Cancellation(2, 6), Cancellation(0, 50), Cancellation(1, 50)])
    assert [read.tolist() for read in events.item_lasts(np.array([1]), np.array([time]))] == [[last[0]], [last[1]]]


def test_at_the_end_of_time_no_cancelled_event_counts() -> None:
    log = [Event(0, 1, 2), Event(0, 2, 3)]
    cancelled = [Cancellation(0, 6), Cancellation(1, 4)]
    at_items = np.full(N_ITEMS, END_OF_TIME)
    at_users = np.full(N_USERS, END_OF_TIME)
    events = cancelled_events(log, cancelled)
    assert events.past(np.arange(N_USERS), at_users).items.to_lists() == [[], [], []]
    assert not events.item_counts(np.arange(N_ITEMS), at_items, ())[0].any()
    assert len(events.standing(END_OF_TIME)) == 0
    assert events.n_changes(END_OF_TIME) == 4  # two became known, two were cancelled
