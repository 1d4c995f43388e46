"""A log with a tail reads, to the bit, as one log of all its events, whichever of them are in the tail."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from feature_store.point_in_time.event_log import EventLog, rows_of
from feature_store.point_in_time.histories import Histories
from feature_store.point_in_time.online_log import OnlineLog, empty_log, merged
from feature_store.point_in_time.read_protocol import AsOf
from slow_reference import Event
from strategies import N_ITEMS, N_USERS, USERS, event_log, logs, times
from tolerances import close

SPLITS = st.lists(st.booleans(), min_size=14, max_size=14)
TIE = [Event(0, 1, 5), Event(0, 0, 5), Event(1, 1, 5), Event(0, 2, 3)]


def split(log: list[Event], is_tail: list[bool]) -> OnlineLog:
    parts = [[event for event, late in zip(log, is_tail, strict=False) if late == side] for side in (False, True)]
    return OnlineLog(event_log(parts[0]), empty_log(), USERS).grown(event_log(parts[1]), USERS)


def reads(log: AsOf, time: int, limit: int | None) -> list[np.ndarray]:
    users = np.arange(-1, N_USERS)
    items = np.arange(N_ITEMS)
    past = log.past(users, np.full(len(users), time), limit)
    counts = log.item_counts(items, np.full(len(items), time), (1, 3, 9))
    columns = [past.items.values, past.items.offsets, past.times, past.known, past.signs]
    return [*columns, *log.user_counts(users, np.full(len(users), time)), *counts, *firsts_and_lasts(log, items, time)]


def firsts_and_lasts(log: AsOf, items: np.ndarray, time: int) -> list[np.ndarray]:
    """Of items that have an event by then."""
    at = np.full(len(items), time)
    known = items[log.item_counts(items, at, ())[0] > 0]
    return [*log.item_firsts(known, at[: len(known)]), *log.item_lasts(known, at[: len(known)])]


@given(logs(), SPLITS, times(), st.sampled_from([1, 2, 5, None]))
@example(TIE, [True, False] * 7, 9, 2)
@example(TIE, [False, True] * 7, 9, None)
def test_every_read_is_that_of_one_log(log: list[Event], is_tail: list[bool], time: int, limit: int | None) -> None:
    online = split(log, is_tail)
    whole = event_log(log)
    for found, expected in zip(reads(online, time, limit), reads(whole, time, limit), strict=True):
        close(found, expected, "exact")
    users = np.arange(N_USERS)
    at = np.full(N_USERS, time)
    close(Histories.as_of(online, users, at, 3).recency, Histories.as_of(whole, users, at, 3).recency, "exact")
    assert (len(online), online.clock, online.n_changes(time)) == (len(whole), whole.clock, whole.n_changes(time))
    same(online.whole, whole)
    same(online.until(time), whole.until(time))


@given(logs(), st.integers(0, 14))
def test_merging_keeps_the_order_of_a_log(log: list[Event], n: int) -> None:
    same(merged(event_log(log[n:]), event_log(log[:n])), event_log(log))


def same(found: EventLog, expected: EventLog) -> None:
    for field in fields(EventLog):
        close(getattr(found, field.name), getattr(expected, field.name), "exact")


@given(st.lists(st.sampled_from(["user0", "user1", "user9", "", None]), min_size=1))
def test_few_ids_are_found_as_many_are(wanted: list[str | None]) -> None:
    ids = USERS.clear().extend(USERS.__class__("user_id", wanted, dtype=USERS.dtype))
    many = rows_of(ids.extend_constant("user0", 1000), USERS.sort())[: len(wanted)]
    assert rows_of(ids[: len(wanted)], USERS.sort()).to_list() == many.to_list()
