from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import slow_reference
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.dataset.items_had import ItemsHad, repeat_scores
from slow_reference import Event
from strategies import LAST_TIME, N_ITEMS, event_log, logs

ALL_ITEMS = np.arange(N_ITEMS)


def history(log: list[Event], time: int) -> Histories:
    return Histories.as_of(event_log(log), np.array([0]), np.array([time]), 200)


def had(log: list[Event], time: int) -> list[tuple[int, int, int]]:
    """(times, visits since, last time) of every item."""
    found = ItemsHad.of(history(log, time), Ragged.from_lists([ALL_ITEMS]))
    return list(zip(found.times.tolist(), found.visits_since.tolist(), found.last_time.tolist(), strict=True))


def test_items_had_of_a_case_by_hand() -> None:
    log = [
        Event(0, 1, 1),
        Event(0, 2, 1),
        Event(0, 1, 3),
        Event(0, 3, 4, "skip"),  # a negative event, but a visit
        Event(0, 2, 9),  # not before the query
        Event(1, 4, 2),  # of another user
    ]
    assert had(log, 9) == [(0, 0, 0), (2, 1, 3), (1, 2, 1), (0, 0, 0), (0, 0, 0)]


def test_of_items_had_as_often_the_latest_comes_first_and_items_not_had_are_not_offered() -> None:
    log = [Event(0, 1, 1), Event(0, 2, 1), Event(0, 1, 3), Event(0, 3, 4)]
    scores = repeat_scores(history(log, 9), ALL_ITEMS)[0]
    assert np.argsort(-scores)[:3].tolist() == [1, 3, 2]
    assert np.isneginf(scores[[0, 4]]).all()


@given(logs(late=False), st.integers(0, LAST_TIME))
def test_items_had_are_those_of_the_definition(log: list[Event], time: int) -> None:
    mine = [event for event in log if event.user == 0 and event.time < time]
    visits = sorted({event.time for event in mine})
    for item, (times, visits_since, last_time) in enumerate(had(log, time)):
        wanted = [event.time for event in mine if event.item == item and slow_reference.sign(event) > 0]
        assert times == len(wanted)
        if wanted:
            assert last_time == max(wanted)
            assert visits_since == sum(visit > max(wanted) for visit in visits)
