from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import ndcg_score, roc_auc_score

from tolerances import close
from training.evaluation.metrics import (
    auc,
    catalogue_metrics,
    impression_metrics,
    mean_over_queries,
    mean_reciprocal_rank_of_all,
    mrr,
    ndcg,
    recall,
)
from training.evaluation.ranks import rank_of_positives

Arrays = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@st.composite
def ranked_queries(draw: st.DrawFn, *, tied: bool = True, labelled: bool = False) -> Arrays:
    """Scores, labels and offsets of a few queries; empty queries and many ties unless the arguments rule them out."""
    lengths = draw(st.lists(st.integers(2 if labelled else 0, 12), min_size=1, max_size=6))
    generator = seeded(draw(st.integers(0, 2**16)))
    n = sum(lengths)
    scores = generator.integers(0, 4, n).astype(float) if tied else generator.permutation(n).astype(float)
    labels = generator.integers(0, 2, n)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if labelled:
        labels[offsets[:-1]] = 0
        labels[offsets[:-1] + 1] = 1
    return scores, labels, offsets


def parts(offsets: NDArray[np.int64]) -> list[slice]:
    return [slice(a, b) for a, b in pairwise(offsets.tolist())]


def test_ndcg_worked_by_hand() -> None:
    ranks = np.array([1.0, 3.0, 11.0, np.inf])
    offsets = np.array([0, 2, 3, 4])
    ideal = 1 / math.log2(2) + 1 / math.log2(3)
    close(ndcg(ranks, offsets, k=10), [(1 + 0.5) / ideal, 0.0, 0.0], "float64")


def test_ndcg_takes_its_ideal_over_k_places_where_positives_are_more_than_k() -> None:
    close(ndcg(np.arange(1.0, 6.0), np.array([0, 5]), k=2), [1.0], "float64")


def test_recall_divides_by_all_positives_even_beyond_k() -> None:
    close(recall(np.array([1.0, 2.0, 7.0, np.inf]), np.array([0, 4]), k=2), [0.5], "exact")


def test_recall_among_some_positives_is_nan_where_a_query_has_none() -> None:
    ranks = np.array([1.0, 20.0, 3.0])
    offsets = np.array([0, 2, 3])
    among = np.array([False, True, False])
    close(recall(ranks, offsets, k=10, among=among), [0.0, np.nan], "exact")


def test_mrr_takes_the_best_positive_and_gives_zero_for_a_miss() -> None:
    close(mrr(np.array([4.0, 2.0, 0.0]), np.array([0, 2, 3])), [0.5, 0.0], "exact")


def test_minds_mrr_is_the_mean_over_all_positives() -> None:
    close(mean_reciprocal_rank_of_all(np.array([4.0, 2.0]), np.array([0, 2])), [0.375], "exact")


def test_auc_worked_by_hand() -> None:
    # Of 5 candidates the positives stand at 1 and 4: of 2 x 3 pairs, (1, .) wins 3 and (4, .) wins 1.
    close(auc(np.array([1.0, 4.0]), np.array([0, 2]), 5), [4 / 6], "float64")


def test_a_missed_positive_stands_last_or_in_the_middle_of_the_unretrieved() -> None:
    missed = np.array([np.inf])
    offsets = np.array([0, 1])
    close(auc(missed, offsets, 101), [0.0], "float64")
    close(auc(missed, offsets, 101, n_retrieved=0), [0.5], "float64")
    close(auc(missed, offsets, 101, n_retrieved=50), [0.25], "float64")


def test_a_query_without_positives_has_no_figure() -> None:
    figures = catalogue_metrics(np.empty(0), np.array([0, 0]), 10)
    assert set(figures) == {"ndcg@10", "recall@10", "mrr", "auc"}
    assert all(np.isnan(values).all() for values in figures.values())


def test_a_query_of_positives_alone_has_no_auc() -> None:
    close(auc(np.array([1.0, 2.0]), np.array([0, 2]), 2), [np.nan], "exact")


def test_a_mean_leaves_out_queries_without_the_figure() -> None:
    assert mean_over_queries(np.array([1.0, np.nan, 0.0])) == 0.5
    assert math.isnan(mean_over_queries(np.array([np.nan])))


@given(ranked_queries(tied=True, labelled=True))
def test_auc_with_ties_equals_sklearn(queries: Arrays) -> None:
    scores, labels, offsets = queries
    ranks, cuts = rank_of_positives(scores, labels, offsets)
    expected = [roc_auc_score(labels[part], scores[part]) for part in parts(offsets)]
    close(auc(ranks, cuts, np.diff(offsets)), expected, "float64")


@given(ranked_queries(tied=False, labelled=True), st.integers(1, 12))
def test_ndcg_without_ties_equals_sklearn(queries: Arrays, k: int) -> None:
    scores, labels, offsets = queries
    ranks, cuts = rank_of_positives(scores, labels, offsets)
    expected = [ndcg_score([labels[part]], [scores[part]], k=k) for part in parts(offsets)]
    close(ndcg(ranks, cuts, k=k), expected, "float64")


@given(ranked_queries(tied=False), st.integers(0, 99))
def test_the_order_of_candidates_changes_no_figure(queries: Arrays, seed: int) -> None:
    scores, labels, offsets = queries
    shuffled = np.concatenate([seeded(seed).permutation(np.arange(part.start, part.stop)) for part in parts(offsets)])
    before = impression_metrics(scores, labels, offsets, generator=seeded())
    after = impression_metrics(scores[shuffled], labels[shuffled], offsets, generator=seeded())
    for name, values in before.items():
        close(after[name], values, "float64")


@given(ranked_queries(), st.integers(0, 99))
def test_queries_together_equal_queries_one_by_one(queries: Arrays, seed: int) -> None:
    scores, labels, offsets = queries
    ranks, cuts = rank_of_positives(scores, labels, offsets, generator=seeded(seed))
    together = catalogue_metrics(ranks, cuts, np.diff(offsets))
    for q, part in enumerate(parts(cuts)):
        own = ranks[part]
        alone = catalogue_metrics(own, np.array([0, len(own)]), np.diff(offsets)[q])
        for name, values in together.items():
            close(values[q : q + 1], alone[name], "float64")


@given(ranked_queries(labelled=True))
def test_every_figure_lies_between_zero_and_one(queries: Arrays) -> None:
    for values in impression_metrics(*queries, generator=seeded()).values():
        assert ((values >= 0) & (values <= 1 + 1e-12)).all()


# MIND's official script, as published (evaluate.py), on scores instead of a file of ranks.


def official_dcg(y_true: NDArray[Any], y_score: NDArray[Any], k: int) -> float:
    order = np.argsort(y_score)[::-1]
    y_true = np.take(y_true, order[:k])
    return float(np.sum((2**y_true - 1) / np.log2(np.arange(len(y_true)) + 2)))


def official_mrr(y_true: NDArray[Any], y_score: NDArray[Any]) -> float:
    y_true = np.take(y_true, np.argsort(y_score)[::-1])
    return float(np.sum(y_true / (np.arange(len(y_true)) + 1)) / np.sum(y_true))


@given(ranked_queries(tied=False, labelled=True))
def test_impressions_are_measured_as_minds_official_script_does(queries: Arrays) -> None:
    scores, labels, offsets = queries
    found = impression_metrics(scores, labels, offsets, generator=seeded())
    for q, part in enumerate(parts(offsets)):
        y_true = labels[part]
        y_score = scores[part]
        assert found["auc"][q] == pytest.approx(roc_auc_score(y_true, y_score))
        assert found["mrr"][q] == pytest.approx(official_mrr(y_true, y_score))
        for k in (5, 10):
            ideal = official_dcg(y_true, y_true, k)
            assert found[f"ndcg@{k}"][q] == pytest.approx(official_dcg(y_true, y_score, k) / ideal)


def test_a_ranker_that_ties_everything_is_not_favoured_by_where_the_positive_stands() -> None:
    n_queries = 3000
    n_shown = 20
    figures = [
        impression_metrics(
            np.zeros(n_queries * n_shown),
            np.tile(np.eye(n_shown, dtype=int)[place], n_queries),
            np.arange(n_queries + 1) * n_shown,
            generator=seeded(),
        )
        for place in (0, n_shown - 1)
    ]
    for each in figures:
        assert mean_over_queries(each["auc"]) == 0.5
        assert mean_over_queries(each["recall@10"]) == pytest.approx(0.5, abs=0.05)
