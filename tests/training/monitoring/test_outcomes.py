"""Outcomes of rows: NDCG with its interval, missed positives, and the ratio of observed to expected positives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tolerances import close
from training.monitoring.outcomes import match_score_ratio, mean_with_interval, outcomes_of


def two_queries(**missed: int) -> dict[str, object]:
    """A query of three rows whose second is the positive, and one of two rows whose first is."""
    return {
        "queries": np.array([7, 4, 7, 4, 7]),
        "users": np.array([1, 0, 1, 0, 1]),
        "scores": np.array([3.0, 2.0, 2.0, 1.0, 1.0]),
        "match_scores": np.array([0.5, 0.5, 0.5, 0.5, 0.5], np.float32),
        "is_positive": np.array([False, True, True, False, False]),
        "missed": {int(name[1:]): n for name, n in missed.items()},
        "generator": np.random.default_rng(0),
    }


def test_ndcg_of_a_case_worked_by_hand() -> None:
    found = outcomes_of(**two_queries())  # type: ignore[arg-type]
    assert found is not None
    close(found.ndcg, (1 + 1 / math.log2(3)) / 2, "float64")
    assert (found.queries, found.users, found.found) == (2, 2, 1.0)
    close([found.expected, found.observed], [0.5, 0.4], "float64")


def test_a_positive_that_was_no_candidate_counts_as_missed() -> None:
    found = outcomes_of(**two_queries(q4=1))  # type: ignore[arg-type]
    assert found is not None
    # Of query 4 one of two positives is found, at the first place.
    best = 1 + 1 / math.log2(3)
    close(found.ndcg, (1 / best + 1 / math.log2(3)) / 2, "float64")
    close(found.found, 2 / 3, "float64")


def test_rows_without_a_positive_have_no_outcomes() -> None:
    rows = two_queries() | {"is_positive": np.zeros(5, bool)}
    assert outcomes_of(**rows) is None  # type: ignore[arg-type]


def test_interval_of_a_mean_holds_the_mean_and_narrows_with_more_users() -> None:
    random = np.random.default_rng(0)
    values = random.random(4000)
    few, many = (mean_with_interval(values[:n], np.arange(n), np.random.default_rng(0)) for n in (40, 4000))
    for mean, (low, high) in (few, many):
        assert low < mean < high
    assert many[1][1] - many[1][0] < (few[1][1] - few[1][0]) / 5


def test_calibrated_scores_have_a_ratio_of_one_within_its_interval() -> None:
    random = np.random.default_rng(0)
    scores = random.random(20_000).astype(np.float32) * 0.2
    is_positive = random.random(20_000) < scores
    ratio, (low, high) = match_score_ratio(scores, is_positive, np.arange(20_000) // 20)
    assert low < 1 < high
    assert abs(ratio - 1) < 0.1
    halved = match_score_ratio(scores / 2, is_positive, np.arange(20_000) // 20)
    close(halved[0], 2 * ratio, "float32")
    assert halved[1][0] > 1.7


@pytest.mark.parametrize("is_positive", [np.zeros(4, bool), np.ones(4, bool)])
def test_of_one_user_or_without_a_positive_nothing_is_known(is_positive: np.ndarray) -> None:
    low, high = match_score_ratio(np.full(4, 0.1, np.float32), is_positive, np.zeros(4, np.int64))[1]
    assert low == 0
    assert high > 1e6
