"""Features of given candidates: chunks change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store.ragged import Ragged
from five_item_dataset import dataset_of, matcher
from five_item_features import batch_of, given_to, same
from recmem.ranking import given_features
from recmem.ranking.given_features import candidate_features, query_chunks
from slow_reference import Event
from strategies import LAST_TIME, N_ITEMS, N_USERS, times

FEWER = settings(max_examples=20)  # each builds several datasets
T = LAST_TIME
QUERIES = st.lists(st.tuples(st.integers(0, N_USERS - 1), times()), min_size=1, max_size=4)


@pytest.mark.parametrize("queries_at_once", [1, 2])
def test_chunks_of_queries_give_what_all_at_once_gives(monkeypatch: pytest.MonkeyPatch, queries_at_once: int) -> None:
    log = [Event(user, (user + step) % N_ITEMS, 2 * step + user) for user in range(N_USERS) for step in range(3)]
    dataset = dataset_of(log)
    queries = [(user, time) for user in range(N_USERS) for time in (3, 9)]
    candidates = [[place % N_ITEMS] for place in range(len(queries))]
    whole = given_to(dataset, queries, candidates)
    monkeypatch.setattr(given_features, "CHUNK_PAIRS", queries_at_once)
    progress: list[int] = []
    parts = candidate_features(
        dataset, matcher(), batch_of(dataset, queries), Ragged.from_lists(candidates), progress.append
    )
    same(parts, whole, "float32")
    assert progress == [queries_at_once] * (len(queries) // queries_at_once)


@given(lengths=st.lists(st.integers(0, 9), max_size=12), n_pairs=st.integers(1, 20))
def test_chunks_hold_consecutive_queries_of_at_most_so_many_pairs(lengths: list[int], n_pairs: int) -> None:
    candidates = Ragged.from_lengths(np.zeros(sum(lengths), np.int64), np.array(lengths, np.int64))
    parts = list(query_chunks(candidates, n_pairs))
    assert np.concatenate(parts).tolist() == list(range(len(lengths)))
    assert len(parts) >= 1
    assert all(len(part) == 1 or candidates.lengths[part].sum() <= n_pairs for part in parts if len(part))


def test_no_query_gives_no_pair_with_all_features() -> None:
    dataset = dataset_of([Event(0, 1, 1)])
    found = given_to(dataset, [], [])
    assert len(found.candidates) == 0
    assert found.values.keys() == given_to(dataset, [(0, 5)], [[1]]).values.keys()
    assert all(len(column) == 0 for column in found.values.values())
