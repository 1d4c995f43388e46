from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_reference
from feature_store.ragged import Ragged
from five_item_dataset import dataset_of
from slow_reference import Event
from strategies import LAST_TIME, N_ITEMS, USERS, logs
from tolerances import close
from training.evaluation.slices import positive_slices, query_slices
from training.queries import Queries, queries_between

FEWER = settings(max_examples=25)  # each builds a dataset


def test_queries_fall_into_slices_by_the_length_of_their_memory() -> None:
    log = [Event(0, step % N_ITEMS, step) for step in range(30)]
    dataset = dataset_of(log)
    times = np.array([0, 1, 5, 6, 20, 21, 30])
    queries = Queries(np.zeros(7, np.int64), times, Ragged.from_lists([[0]] * 7))
    slices = {name: np.flatnonzero(mask).tolist() for name, mask in query_slices(dataset, queries).items()}
    assert slices == {"memory 1-5": [1, 2], "memory 6-20": [3, 4], "memory 21+": [5, 6]}


def test_positives_fall_into_slices_by_what_was_known_of_the_item() -> None:
    # The span that ages are measured in is 20: an item is young for less than 20 / 12.
    log = [Event(0, 0, 1), Event(0, 1, 9), Event(1, 2, 3), Event(1, 0, 10), Event(1, 1, 10), Event(1, 3, 10)]
    dataset = dataset_of(log)
    queries = Queries(dataset.user_rows(USERS.gather([1])), np.array([10]), Ragged.from_lists([[0, 1, 3]]))
    without = np.array([50.0, 1.0, np.inf])
    with_ = np.array([1.0, 1.0, 2.0])
    slices = positive_slices(dataset, queries, 8, without, with_)
    assert set(slices) == {"cold items", "warm items", "item young", "item old"}
    n_positives = {name: part.n_positives.tolist() for name, part in slices.items()}
    # Item 1 was first touched after the cut, 3 never before.
    assert n_positives == {"cold items": [2], "warm items": [1], "item young": [1], "item old": [1]}
    assert {name: part.n_items for name, part in slices.items()} == dict.fromkeys(slices, 1) | {"cold items": 2}
    close(slices["cold items"].without, [1 / 2], "exact")
    close(slices["cold items"].with_, [1.0], "exact")
    close(slices["warm items"].without, [0.0], "exact")


def test_where_repeats_count_positives_are_sliced_by_whether_the_user_had_them() -> None:
    log = [Event(0, 0, 1), Event(0, 1, 9), Event(1, 2, 3), Event(1, 0, 5), Event(1, 0, 10), Event(1, 1, 10)]
    dataset = dataset_of(log)
    dataset = replace(dataset, config=replace(dataset.config, repeats=True))
    queries = Queries(dataset.user_rows(USERS.gather([1, 0])), np.array([10, 9]), Ragged.from_lists([[0, 1], [1]]))
    slices = positive_slices(dataset, queries, 8, np.ones(3), np.ones(3))
    assert slices["repeated items"].n_positives.tolist() == [1, 0]
    assert slices["first items"].n_positives.tolist() == [1, 1]
    # Both are of item 1.
    assert slices["first items"].n_items == 1


@FEWER
@given(logs(late=False, min_size=6), st.integers(0, LAST_TIME))
def test_cold_are_the_items_without_an_event_before_the_test(log: list[Event], test_from: int) -> None:
    dataset = dataset_of(log)
    queries = queries_between(dataset.log, test_from, LAST_TIME)
    ranks = np.ones(len(queries.positives.values))
    slices = positive_slices(dataset, queries, test_from, ranks, ranks)
    warm = {event.item for event in log if slow_reference.is_known(event, test_from + 1)}
    n_cold = sum(item not in warm for item in queries.positives.values.tolist())
    assert ("cold items" in slices) == (n_cold > 0)
    if n_cold:
        assert int(slices["cold items"].n_positives.sum()) == n_cold
