"""The queries after a model's training: which they are, and their NDCG."""

from __future__ import annotations

import numpy as np
import pytest

from debian_model import trained_model
from recmem.dataset.query_batch import QueryBatch
from recmem.ranking.pair_features import PairFeatures
from recmem.serving.model import Model
from tolerances import close
from training.evaluation.queries_after_training import QueriesAfterTraining
from training.training_data import labels_of


@pytest.fixture(scope="module")
def model() -> Model:
    return trained_model().model()


def pairs_of(after: QueriesAfterTraining) -> PairFeatures:
    batch = QueryBatch.of(after.model.dataset, after.queries.users, after.queries.times)
    return after.pairs(batch)


def test_all_queries_lie_after_the_training_and_are_no_more_than_the_limit(model: Model) -> None:
    after = QueriesAfterTraining.of(model, 7)
    assert len(after.queries) == 7
    assert (after.queries.times > model.bundle.config.learned_until).all()
    assert after.since.endswith("+00:00")


def test_scores_that_put_the_positives_first_give_the_best_ndcg_that_retrieval_allows(model: Model) -> None:
    after = QueriesAfterTraining.of(model, 12)
    pairs = pairs_of(after)
    labels = labels_of(pairs, after.queries)
    found = after.ndcg(pairs, labels.astype(np.float64), seed=0)
    discounts = 1 / np.log2(np.arange(2, 12))
    expected = []
    for row, n_positives in enumerate(after.queries.positives.lengths):
        begin, end = pairs.candidates.offsets[row : row + 2]
        n_retrieved = int(labels[begin:end].sum())
        expected.append(discounts[:n_retrieved].sum() / discounts[:n_positives].sum())
    close(found, expected, "float64")


def test_ties_are_broken_by_the_seed_alone(model: Model) -> None:
    after = QueriesAfterTraining.of(model, 12)
    pairs = pairs_of(after)
    tied = np.zeros(len(pairs.candidates.values))
    close(after.ndcg(pairs, tied, seed=3), after.ndcg(pairs, tied, seed=3), "exact")
