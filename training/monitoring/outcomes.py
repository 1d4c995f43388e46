"""What became of scored rows: NDCG@10 of their ranking, and whether `match_score` foretold the positives."""

from __future__ import annotations

import math

import numpy as np

from feature_store.arrays import BoolArray, Float32Array, Float64Array, IntArray
from recmem.reference.reference import Outcomes
from training.evaluation.intervals import paired_bootstrap
from training.evaluation.metrics import PerQuery, ndcg
from training.evaluation.ranks import rank_of_positives

K = 10
_DEVIATE_95 = 1.96
_WIDEST = (0.0, 1e9)
"""An interval of a ratio of which nothing is known."""


def outcomes_of(
    *,
    queries: IntArray,
    users: IntArray,
    scores: Float64Array,
    match_scores: Float32Array,
    is_positive: BoolArray,
    missed: dict[int, int],
    generator: np.random.Generator,
) -> Outcomes | None:
    """The outcomes of rows that are all judged, one row for each item of a query; None if there is no positive.

    One entry per row: its query, its user, both scores, and whether it is a positive. `missed`: positives that are not
    among the rows, by query; they count as not found. A query without a positive has no NDCG, but counts in the
    expected and the observed share of positives.
    """
    order = np.argsort(queries, kind="stable")
    query = queries[order]
    starts = np.flatnonzero(np.r_[True, query[1:] != query[:-1]]) if len(query) else np.empty(0, np.int64)
    offsets = np.append(starts, len(query)).astype(np.int64)
    figures, n_positives = _ndcg_of(scores[order], is_positive[order], offsets, query[starts], missed, generator)
    has_positive = n_positives > 0
    if not has_positive.any():
        return None
    user_of_query = users[order][starts]
    mean, interval = mean_with_interval(figures[has_positive], user_of_query[has_positive], generator)
    return Outcomes(
        queries=int(has_positive.sum()),
        users=len(np.unique(user_of_query[has_positive])),
        ndcg=mean,
        ndcg_ci95=interval,
        found=float(is_positive.sum() / n_positives.sum()),
        expected=float(match_scores.mean()),
        observed=float(is_positive.mean()),
        ratio_ci95=match_score_ratio(match_scores, is_positive, users)[1],
    )


def mean_with_interval(
    figures: PerQuery, users: IntArray, generator: np.random.Generator
) -> tuple[float, tuple[float, float]]:
    """The mean over the queries that have the figure, and its 95% interval by a bootstrap over users."""
    found = paired_bootstrap(np.zeros(len(figures)), figures, groups=users, generator=generator)
    return found.difference, (found.low, found.high)


def match_score_ratio(
    match_scores: Float32Array, is_positive: BoolArray, users: IntArray
) -> tuple[float, tuple[float, float]]:
    """The positives, divided by as many as the match scores lead to expect, and the 95% interval of that ratio.

    The interval is that of the ratio's logarithm, by the delta method over users, whose rows are not independent.
    """
    group = np.unique(users, return_inverse=True)[1].reshape(-1)
    expected = np.bincount(group, weights=match_scores.astype(np.float64))
    observed = np.bincount(group, weights=is_positive)
    if expected.sum() <= 0 or observed.sum() <= 0 or len(expected) < 2:
        return 0.0, _WIDEST
    ratio = float(observed.sum() / expected.sum())
    deviations = observed - ratio * expected
    n_groups = len(expected)
    variance = float((deviations**2).sum()) * n_groups / (n_groups - 1) / float(observed.sum()) ** 2
    width = math.exp(_DEVIATE_95 * math.sqrt(variance))
    return ratio, (ratio / width, ratio * width)


def _ndcg_of(
    scores: Float64Array,
    is_positive: BoolArray,
    offsets: IntArray,
    query_of_start: IntArray,
    missed: dict[int, int],
    generator: np.random.Generator,
) -> tuple[PerQuery, IntArray]:
    """NDCG@10 of each query, those missed counted as ranked nowhere, and its number of positives."""
    found_ranks, cuts = rank_of_positives(scores, is_positive.astype(np.int8), offsets, generator=generator)
    n_missed = np.array([missed.get(int(query), 0) for query in query_of_start], np.int64)
    n_found = np.diff(cuts)
    ranks = np.full(int((n_found + n_missed).sum()), np.inf)
    with_missed = np.concatenate([[0], np.cumsum(n_found + n_missed)])
    # The found ones first in each query.
    places = np.arange(len(found_ranks)) + np.repeat(with_missed[:-1] - cuts[:-1], n_found)
    ranks[places] = found_ranks
    return ndcg(ranks, with_missed, k=K), n_found + n_missed
