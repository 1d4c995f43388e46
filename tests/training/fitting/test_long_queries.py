"""Queries of more than 10,000 pairs: which pairs the trees are fitted on."""

from __future__ import annotations

import numpy as np
import pytest

from training.fitting.long_queries import FEWEST_NEGATIVES, LONGEST_QUERY, pairs_to_fit


def labels_of(n_positives: int, n_pairs: int) -> np.ndarray:
    """A query's labels, the positives spread over it."""
    labels = np.zeros(n_pairs, np.int8)
    labels[np.linspace(0, n_pairs - 1, n_positives).astype(int)] = 1
    return labels


def test_queries_that_lightgbm_takes_stay_whole() -> None:
    labels = np.concatenate([labels_of(3, LONGEST_QUERY), labels_of(1, 5)])
    assert pairs_to_fit(labels, np.array([LONGEST_QUERY, 5]), seed=0).all()


@pytest.mark.parametrize("n_positives", [1, 40, 9_900])
def test_a_longer_query_keeps_its_positives_and_a_sample_of_its_negatives(n_positives: int) -> None:
    long = labels_of(n_positives, 10_050)
    labels = np.concatenate([labels_of(2, 7), long, labels_of(1, 4)])
    kept = pairs_to_fit(labels, np.array([7, 10_050, 4]), seed=0)
    of_query = kept[7:-4]
    assert of_query.sum() == LONGEST_QUERY
    assert of_query[long > 0].all()
    assert kept[:7].all()
    assert kept[-4:].all()


@pytest.mark.parametrize(("n_positives", "n_pairs", "negatives_left"), [(12_000, 15_000, 100), (10_500, 10_503, 3)])
def test_more_positives_than_lightgbm_takes_make_way_for_some_negatives(
    n_positives: int, n_pairs: int, negatives_left: int
) -> None:
    labels = labels_of(n_positives, n_pairs)
    kept = pairs_to_fit(labels, np.array([n_pairs]), seed=0)
    assert kept.sum() == LONGEST_QUERY
    assert (kept & (labels == 0)).sum() == negatives_left <= FEWEST_NEGATIVES


def test_a_query_of_positives_alone_is_cut_too() -> None:
    assert pairs_to_fit(np.ones(10_001, np.int8), np.array([10_001]), seed=0).sum() == LONGEST_QUERY


def test_the_sample_is_drawn_by_the_seed_and_for_each_query_anew() -> None:
    labels = np.concatenate([labels_of(1, 20_000)] * 2)
    lengths = np.array([20_000, 20_000])
    kept = pairs_to_fit(labels, lengths, seed=0)
    assert (kept == pairs_to_fit(labels, lengths, seed=0)).all()
    assert (kept != pairs_to_fit(labels, lengths, seed=1)).any()
    assert (kept[:20_000] != kept[20_000:]).any()
