"""Features of retrieved candidates: which items these are, and that they have the features of given ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_reference
from feature_store.point_in_time.covisitation import FEATURES as COVISITATION_FEATURES
from five_item_dataset import dataset_of, matcher
from five_item_features import RETRIEVAL, batch_of, given_to, retrieved_by, same
from recmem.dataset import query_batch as query_batch_module
from recmem.matching.matcher import MATCH_FEATURES
from recmem.ranking.given_features import candidate_features
from recmem.ranking.retrieved_features import retrieved_features
from recmem.retrieval import retrieve
from recmem.retrieval.interleave import RetrievalConfig
from recmem.retrieval.retrieve import seen_items
from slow_reference import Event, Showing
from strategies import LAST_TIME, N_ITEMS, N_USERS, logs, showings, times
from tolerances import close

FEWER = settings(max_examples=20)  # each builds several datasets
T = LAST_TIME
QUERIES = st.lists(st.tuples(st.integers(0, N_USERS - 1), times()), min_size=1, max_size=4)


@FEWER
@given(logs(), showings(), QUERIES)
def test_retrieved_candidates_have_the_features_of_given_ones(
    log: list[Event], shown: list[Showing], queries: list[tuple[int, int]]
) -> None:
    dataset = dataset_of(log, shown)
    found = retrieved_by(dataset, queries)
    given_ = candidate_features(dataset, matcher(), batch_of(dataset, queries), found.candidates)
    assert found.values.keys() == given_.values.keys()
    for name, column in given_.values.items():
        close(found.values[name], column, "float32")


@FEWER
@given(logs(), QUERIES, st.integers(1, N_ITEMS))
def test_retrieved_items_are_new_to_the_user_distinct_and_as_many_as_requested(
    log: list[Event], queries: list[tuple[int, int]], n_candidates: int
) -> None:
    dataset = dataset_of(log)
    candidates = retrieved_by(dataset, queries, RetrievalConfig(candidates=n_candidates)).candidates
    for (user, time), rows in zip(queries, candidates.to_lists(), strict=True):
        already = {event.item for event in log if event.user == user and slow_reference.is_known(event, time)}
        assert len(set(rows)) == len(rows) == min(n_candidates, N_ITEMS - len(already))
        assert not already & set(rows)


def test_items_that_the_user_has_are_retrieved_if_not_excluded() -> None:
    dataset = dataset_of([Event(0, item, 1) for item in range(N_ITEMS)])
    assert retrieved_by(dataset, [(0, 5)]).candidates.to_lists() == [[]]
    found = retrieved_by(dataset, [(0, 5)], RetrievalConfig(candidates=9, exclude_seen=False)).candidates.to_lists()
    assert sorted(found[0]) == list(range(N_ITEMS))


def test_an_item_older_than_the_history_still_counts_as_one_that_the_user_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_batch_module, "HISTORY", 1)
    dataset = dataset_of([Event(0, 3, 1), Event(0, 2, 2)])
    batch = batch_of(dataset, [(0, 5)])
    assert batch.histories.items.to_lists() == [[2]]
    assert seen_items(dataset, batch).to_lists() == [[3, 2]]


@pytest.mark.parametrize("queries_at_once", [1, 2])
def test_chunks_of_queries_retrieve_what_all_at_once_retrieves(
    monkeypatch: pytest.MonkeyPatch, queries_at_once: int
) -> None:
    log = [Event(user, (user + step) % N_ITEMS, 2 * step + user) for user in range(N_USERS) for step in range(3)]
    dataset = dataset_of(log)
    queries = [(user, time) for user in range(N_USERS) for time in (3, 9)]
    whole = retrieved_by(dataset, queries)
    monkeypatch.setattr(retrieve, "CHUNK_CELLS", queries_at_once * N_ITEMS)
    same(retrieved_by(dataset, queries), whole, "float32")


def test_scores_of_the_catalogue_are_handed_over_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieve, "CHUNK_CELLS", 2 * N_ITEMS)
    dataset = dataset_of([Event(0, 1, 1), Event(1, 2, 2)])
    queries = [(0, 5), (1, 5), (2, 5)]
    shown: list[tuple[int, dict[str, np.ndarray]]] = []
    found = retrieved_features(
        dataset,
        matcher(),
        batch_of(dataset, queries),
        RETRIEVAL,
        on_scores=lambda batch, grid: shown.append((len(batch), grid)),
    )
    assert [n for n, _ in shown] == [2, 1]
    for name in (*MATCH_FEATURES, *COVISITATION_FEATURES):
        whole = np.concatenate([grid[name] for _, grid in shown])
        close(whole[found.candidates.row_index, found.candidates.values], found.values[name], "exact")


def test_no_query_gives_no_pair_with_all_features() -> None:
    dataset = dataset_of([Event(0, 1, 1)])
    found = retrieved_by(dataset, [])
    assert len(found.candidates) == 0
    assert found.values.keys() == given_to(dataset, [(0, 5)], [[1]]).values.keys()
    assert all(len(column) == 0 for column in found.values.values())
