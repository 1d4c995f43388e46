"""Features of pairs over the five-item dataset: given and retrieved candidates, and how two results are compared."""

from __future__ import annotations

import numpy as np

from feature_store.ragged import Ragged
from five_item_dataset import matcher
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.ranking.given_features import candidate_features
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.retrieved_features import retrieved_features
from recmem.retrieval.interleave import RetrievalConfig
from strategies import N_USERS, USERS
from tolerances import close

RETRIEVAL = RetrievalConfig(candidates=3)


def batch_of(dataset: Dataset, queries: list[tuple[int, int]]) -> QueryBatch:
    """Queries by the number of the user, whichever row the dataset gives it."""
    users = dataset.user_rows(USERS.gather([user for user, _ in queries]))
    return QueryBatch.of(dataset, users, np.array([time for _, time in queries], dtype=np.int64))


def given_to(dataset: Dataset, queries: list[tuple[int, int]], candidates: list[list[int]]) -> PairFeatures:
    """Features of these candidates of each query, (user, time)."""
    return candidate_features(dataset, matcher(), batch_of(dataset, queries), Ragged.from_lists(candidates))


def retrieved_by(dataset: Dataset, queries: list[tuple[int, int]], config: RetrievalConfig = RETRIEVAL) -> PairFeatures:
    """Features of the candidates that are retrieved for each query, (user, time)."""
    return retrieved_features(dataset, matcher(), batch_of(dataset, queries), config)


def same(actual: PairFeatures, expected: PairFeatures, tolerance: str = "exact") -> None:
    """Asserts the same candidates with the same features in the same order."""
    assert actual.candidates.to_lists() == expected.candidates.to_lists()
    assert list(actual.values) == list(expected.values)
    for name, column in expected.values.items():
        close(actual.values[name], column, tolerance)


def everyone_at(time: int) -> list[tuple[int, int]]:
    """A query of each user."""
    return [(user, time) for user in range(N_USERS)]
