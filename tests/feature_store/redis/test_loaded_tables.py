from __future__ import annotations

import numpy as np
import pytest

from cancelled_logs import Cancellation, frame_of
from online_memories import loaded_tables, rows
from slow_reference import Event
from strategies import USERS

# Two equal events of item 1 that differ in their event_id only, one of item 2, and one of another user.
FRAME = frame_of([Event(0, 1, 2), Event(0, 1, 2), Event(0, 2, 3), Event(1, 3, 4)], [])
IDENTITIES = rows(FRAME)["identity"].to_list()
TIME = 9


def seen(cancelled: set[bytes], time: int = TIME) -> list[set[int]]:
    nothing: frozenset[bytes] = frozenset()
    found = loaded_tables(FRAME).seen(
        USERS, np.array([0, 1, -1]), np.full(3, time), [frozenset(cancelled), nothing, nothing]
    )
    return [set(row) for row in found.to_lists()]


def test_without_cancelled_events_the_log_answers() -> None:
    assert seen(set()) == [{1, 2}, {3}, set()]


def test_a_cancelled_event_is_left_out_for_its_query_only() -> None:
    of_item_2 = IDENTITIES[2]
    assert seen({of_item_2}) == [{1}, {3}, set()]


@pytest.mark.parametrize("twin", [0, 1])
def test_an_equal_event_with_another_id_still_counts(twin: int) -> None:
    assert seen({IDENTITIES[twin]}) == [{1, 2}, {3}, set()]
    assert seen({IDENTITIES[0], IDENTITIES[1]}) == [{2}, {3}, set()]


def test_an_event_that_is_not_known_yet_is_not_seen() -> None:
    assert seen({IDENTITIES[0]}, time=3) == [{1}, set(), set()]


def test_an_event_that_the_tables_themselves_cancel_is_not_seen() -> None:
    frame = frame_of([Event(0, 1, 2), Event(0, 2, 3)], [Cancellation(0, 5)])
    other = frozenset({b"an event of the server's"})
    found = loaded_tables(frame).seen(USERS, np.array([0]), np.array([TIME]), [other])
    assert found.to_lists() == [[2]]
