from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import slow_reference
from feature_store.ragged import Ragged
from recmem.matching.text_similarity import SIMILARITIES
from slow_reference import Event
from strategies import LAST_TIME, N_ITEMS, event_log, logs
from tolerances import close
from training.evaluation.baselines import best_pooling, popularity_features

EVERY = Ragged.from_lists([list(range(N_ITEMS))])


def test_popularity_counts_events_before_the_test_by_hand() -> None:
    # Twenty events up to the cut, of which the last tenth are two; the one after it does not count.
    log = event_log([Event(0, 1, time) for time in range(18)] + [Event(0, 2, 18), Event(1, 1, 19), Event(2, 3, 20)])
    found = popularity_features(log, 19, EVERY)
    close(found["popularity_before_test"], [0, 19, 1, 0, 0], "exact")
    close(found["recent_popularity_before_test"], [0, 1, 1, 0, 0], "exact")


@given(logs(late=False), st.integers(0, LAST_TIME), st.lists(st.integers(0, N_ITEMS + 2), max_size=6))
def test_popularity_is_that_of_the_slow_count(log: list[Event], test_from: int, items: list[int]) -> None:
    found = popularity_features(event_log(log), test_from, Ragged.from_lists([items]))
    before = [event.item for event in slow_reference.in_order(log) if event.time <= test_from]
    recent = before[int(len(before) * 0.9) :]
    close(found["popularity_before_test"], [before.count(item) for item in items], "exact")
    close(found["recent_popularity_before_test"], [recent.count(item) for item in items], "exact")


@given(logs(late=False), logs(late=False, from_time=LAST_TIME + 1))
def test_events_of_the_test_change_no_baseline(past: list[Event], future: list[Event]) -> None:
    first, second = (popularity_features(event_log(log), LAST_TIME, EVERY) for log in (past, past + future))
    for name, column in first.items():
        close(second[name], column, "exact")


def test_the_pooling_that_ranks_the_positives_best_is_chosen() -> None:
    items = Ragged.from_lists([[0, 1, 2], [3, 4]])
    labels = np.array([0, 0, 1, 1, 0], np.int8)
    worst = np.array([3, 2, 1, 0, 1], np.float32)
    right = np.array([0, 1, 2, 1, 0], np.float32)
    for best in SIMILARITIES:
        values = {name: right if name == best else worst for name in SIMILARITIES}
        assert best_pooling(values, labels, items) == best
