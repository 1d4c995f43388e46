"""The context that features share: worked by hand, and each made once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import slow_reference
from feature_store.point_in_time.covisitation import FEATURES as COVISITATION_FEATURES
from feature_store.ragged import Ragged
from five_item_dataset import CONFIG, dataset_of, matcher, unit_vectors
from five_item_features import batch_of, given_to
from recmem.ranking.feature_computation import FeatureContext, compute_item_counters
from recmem.ranking.given_features import candidate_features
from slow_reference import Event
from strategies import LAST_TIME, N_ITEMS, N_USERS, times
from tolerances import close

FEWER = settings(max_examples=20)  # each builds several datasets
T = LAST_TIME
QUERIES = st.lists(st.tuples(st.integers(0, N_USERS - 1), times()), min_size=1, max_size=4)


def test_covisitation_is_that_of_the_last_refresh() -> None:
    # Refreshes at 2, 5, 8: the query at 7 is served by what was known at 5, and has a history up to 7.
    log = [Event(1, 0, 1), Event(1, 1, 2), Event(2, 0, 4), Event(2, 3, 5), Event(0, 0, 6)]
    found = given_to(dataset_of(log), [(0, 7)], [list(range(N_ITEMS))]).values
    known = [event for event in log if event.time < 5]
    covisitation = CONFIG.covisitation
    close(found["together"], slow_reference.together(known, N_ITEMS, covisitation.shrinkage)[0], "float32")
    close(found["follow"], slow_reference.follow(known, N_ITEMS, covisitation.lags)[0], "float32")
    close(found["ease"], slow_reference.ease(known, N_ITEMS, covisitation.ease_ridge)[0], "float32")


def test_texts_that_are_not_in_the_catalogue_have_match_features_only() -> None:
    log = [Event(1, 0, 1), Event(1, 1, 2), Event(0, 0, 4)]
    found = given_to(dataset_of(log), [(0, 7)], [[N_ITEMS]]).values
    assert all(found[name][0] == 0 for name in COVISITATION_FEATURES)
    assert found["match_raw"][0] != 0
    assert found["item_age"][0] == -1


def test_a_history_of_texts_that_are_not_in_the_catalogue_is_matched_without_covisitation() -> None:
    log = [Event(1, 0, 1), Event(1, 1, 2), Event(0, 0, 4)]
    dataset = dataset_of(log)
    batch = batch_of(dataset, [(0, 7)])
    history = replace(batch.histories, items=Ragged.from_lists([[N_ITEMS]]))
    found = candidate_features(dataset, matcher(), replace(batch, histories=history), Ragged.from_lists([[1]])).values
    assert all(found[name][0] == 0 for name in COVISITATION_FEATURES)
    unit = unit_vectors()
    close(found["similarity_max"], [float(unit[1] @ unit[N_ITEMS])], "float32")


def test_counters_are_the_same_whether_queries_share_their_time_and_items_or_not() -> None:
    log = [Event(user, (user + step) % N_ITEMS, 2 * step + user) for user in range(N_USERS) for step in range(3)]
    dataset = dataset_of(log)
    items = [list(range(N_ITEMS))] * (2 * N_USERS)
    queries = [(user, time) for time in (3, 9) for user in range(N_USERS)]
    shared = given_to(dataset, queries, items).values
    for place, query in enumerate(queries):
        for item in range(N_ITEMS):
            alone = given_to(dataset, [query], [[item]]).values
            for name in ("popularity", "popularity_short", "trend", "item_age"):
                close(alone[name], shared[name][[place * N_ITEMS + item]], "exact")


def test_a_computation_that_several_features_share_runs_once() -> None:
    dataset = dataset_of([Event(0, 1, 1)])
    calls: list[int] = []

    def read(context: FeatureContext) -> np.ndarray:
        calls.append(len(context.queries))
        return context.pair_times

    queries = batch_of(dataset, [(0, 5), (1, 7)])
    first = FeatureContext(dataset, matcher(), queries, Ragged.from_lists([[1, 2], [3]]))
    assert first.once(read).tolist() == [5, 5, 7]
    assert first.once(read) is first.once(read)
    assert calls == [2]
    FeatureContext(dataset, matcher(), queries, first.candidates).once(read)
    assert calls == [2, 2]


def test_counters_without_pairs_are_empty_columns() -> None:
    dataset = dataset_of([Event(0, 1, 1)])
    context = FeatureContext(dataset, matcher(), batch_of(dataset, [(0, 5)]), Ragged.from_lists([[]]))
    assert all(len(column) == 0 for column in compute_item_counters(context).values())
