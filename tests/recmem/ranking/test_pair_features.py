"""Features of pairs: what they hold, and that nothing at or after a query changes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_reference
from feature_store.point_in_time.covisitation import FEATURES as COVISITATION_FEATURES
from five_item_dataset import N_TEXTS, dataset_of, matcher
from five_item_features import everyone_at, given_to, retrieved_by, same
from recmem.matching.matcher import MATCH_FEATURES
from recmem.ranking.pair_features import PairFeatures
from slow_reference import Event, Showing
from strategies import LAST_TIME, N_ITEMS, N_USERS, logs, showings, times
from tolerances import close

FEWER = settings(max_examples=20)  # each builds several datasets
T = LAST_TIME
QUERIES = st.lists(st.tuples(st.integers(0, N_USERS - 1), times()), min_size=1, max_size=4)


@FEWER
@given(
    logs(),
    logs(from_time=T, min_size=1),
    showings(),
    showings(from_time=T, first_impression=9),
    st.integers(1, 9),
)
def test_nothing_at_or_after_a_query_changes_a_feature(
    past: list[Event], future: list[Event], shown: list[Showing], later: list[Showing], shift: int
) -> None:
    shifted = [replace(event, time=event.time + shift, available=None) for event in future]
    known = [event for event in past if slow_reference.is_known(event, T)]
    datasets = [
        dataset_of(past + future, shown + later),
        dataset_of(past + shifted, shown + [replace(row, label=1 - row.label) for row in later]),
        dataset_of(past, shown),
        dataset_of(known, [row for row in shown if row.time < T]),
    ]
    candidates = [list(range(N_TEXTS))] * N_USERS
    first, *others = (given_to(dataset, everyone_at(T), candidates) for dataset in datasets)
    for snapshot in others:
        same(snapshot, first)
    first, *others = (retrieved_by(dataset, everyone_at(T)) for dataset in datasets)
    for snapshot in others:
        same(snapshot, first)


@FEWER
@given(logs(late=False), st.integers(1, 3), times())
def test_events_of_one_session_do_not_change_each_others_features(log: list[Event], size: int, time: int) -> None:
    session = [Event(0, item, time, "purchase") for item in range(size)]
    alone = dataset_of([event for event in log if event.time < time])
    both = dataset_of([event for event in log if event.time < time] + session)
    candidates = [list(range(N_ITEMS))] * N_USERS
    same(given_to(both, everyone_at(time), candidates), given_to(alone, everyone_at(time), candidates))
    same(retrieved_by(both, everyone_at(time)), retrieved_by(alone, everyone_at(time)))


@FEWER
@given(logs(), showings(), QUERIES)
def test_queries_of_a_batch_have_the_features_of_single_queries(
    log: list[Event], shown: list[Showing], queries: list[tuple[int, int]]
) -> None:
    dataset = dataset_of(log, shown)
    candidates = [[(place + step) % N_TEXTS for step in range(place % 3 + 1)] for place in range(len(queries))]
    whole = given_to(dataset, queries, candidates)
    for place, query in enumerate(queries):
        single = given_to(dataset, [query], [candidates[place]])
        same(whole.take(np.array([place])), single, "float32")


@FEWER
@given(logs(), times(), st.permutations(range(N_TEXTS)))
def test_permuting_candidates_permutes_features(log: list[Event], time: int, order: list[int]) -> None:
    dataset = dataset_of(log)
    in_order = given_to(dataset, [(0, time)], [list(range(N_TEXTS))])
    permuted = given_to(dataset, [(0, time)], [order])
    for name, column in in_order.values.items():
        close(permuted.values[name], column[order], "float32")


@FEWER
@given(logs(), showings().filter(bool), times())
def test_features_are_those_of_the_slow_reference(log: list[Event], shown: list[Showing], time: int) -> None:
    pairs = given_to(dataset_of(log, shown), [(1, time)], [list(range(N_TEXTS))])
    windows = {"short": 2, "medium": 4, "long": 8}
    history = slow_reference.history(log, 1, time, 200)
    expected = slow_reference.user_counters(log, 1, time, 2) | {"memory_size": np.log1p(len(history))}
    unit = matcher().tables.unit.double().numpy()
    newest = history[-4:]
    for item in range(N_TEXTS):
        expected |= slow_reference.item_counters(log, item, time, windows, 20) | slow_reference.click_counters(
            shown, item, time
        )
        expected["items.price"] = [1, 2, np.nan, 4, 5, np.nan, np.nan][item]
        expected |= slow_reference.similarities(
            unit, [entry.item for entry in newest], [entry.sign for entry in newest], item
        )
        for name, value in expected.items():
            close(pairs.values[name][item], value, "float32")
    assert set(pairs.values) == set(expected) | set(COVISITATION_FEATURES) | set(MATCH_FEATURES)
    assert all(column.dtype == np.float32 for column in pairs.values.values())


def test_pairs_are_taken_by_query_and_concatenated_again() -> None:
    pairs = given_to(dataset_of([Event(0, 1, 1)]), everyone_at(5), [[0, 1], [], [2, 3, 4]])
    parts = [pairs.take(np.array([row])) for row in range(3)]
    same(PairFeatures.concat(parts), pairs)
    permuted = pairs.take(np.array([2, 0]))
    assert permuted.candidates.to_lists() == [[2, 3, 4], [0, 1]]
    close(permuted.values["match_raw"], np.roll(pairs.values["match_raw"], 3), "exact")
