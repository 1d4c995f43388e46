"""Ranking metrics, one figure a query. Pure numpy.

Positives of all queries stand in one flat array; `offsets` (n_queries + 1) cuts it: query `q` owns
`[offsets[q], offsets[q + 1])`. A rank is 1-based, and may be a half where candidates tie; a positive that was not
retrieved has the rank `inf` (0 is read as the same). A query for which a metric is not defined (no positives, say) has
NaN, and means leave it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from feature_store.arrays import BoolArray, Float64Array, IntArray

PerQuery: TypeAlias = Float64Array
PerPositive: TypeAlias = Float64Array
Offsets: TypeAlias = NDArray[np.integer[Any]]

_PAIRS_AT_ONCE = 2_000_000


# Ranks


def rank_of_positives(
    scores: ArrayLike, labels: ArrayLike, offsets: Offsets, *, generator: np.random.Generator | None = None
) -> tuple[PerPositive, IntArray]:
    """The ranks of the rows with a positive label, in row order, and the offsets that cut them by query.

    `scores` and `labels` have one entry a candidate, cut by `offsets`. Ties as in `rank_of_rows`.
    """
    positive = np.asarray(labels) > 0
    rows = np.flatnonzero(positive)
    positives_before = np.concatenate([[0], np.cumsum(positive)]).astype(np.int64)
    return rank_of_rows(scores, offsets, rows, generator=generator), positives_before[np.asarray(offsets)]


def rank_of_rows(
    scores: ArrayLike,
    offsets: Offsets,
    rows: NDArray[np.integer[Any]],
    *,
    generator: np.random.Generator | None = None,
) -> PerPositive:
    """The rank of each candidate row among the candidates of its query; `inf` for the row -1 (not retrieved).

    Ties are not broken in a row's favour: with a `generator` at random, which is fair to every metric; without one each
    tied candidate gets the mean of the ranks that they share (1.5 for two at the top), which is exact for AUC alone: a
    cut-off at k takes a tie that straddles k as wholly in or wholly out.
    Raises ValueError for NaN scores and for offsets that do not cover the scores.
    """
    values, cuts = np.asarray(scores), np.asarray(offsets).astype(np.int64)
    _check_scores(values, cuts)
    noise = None if generator is None else generator.random(len(values))
    retrieved = np.flatnonzero(np.asarray(rows) >= 0)
    wanted = np.asarray(rows, dtype=np.int64)[retrieved]
    queries = np.searchsorted(cuts, wanted, side="right") - 1
    ranks = np.full(len(rows), np.inf)
    for part in _parts(np.diff(cuts)[queries]):
        ranks[retrieved[part]] = _ranks_of_part(values, cuts, wanted[part], queries[part], noise)
    return ranks


def _parts(n_pairs: IntArray) -> Iterator[slice]:
    """Cuts positives into slices of about `_PAIRS_AT_ONCE` pairs with a candidate, at least one positive each."""
    part = (np.cumsum(n_pairs) - n_pairs) // _PAIRS_AT_ONCE
    edges = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(part)] if len(part) else []
    yield from (slice(start, stop) for start, stop in pairwise(edges))


def _ranks_of_part(
    scores: NDArray[Any],
    offsets: IntArray,
    rows: IntArray,
    queries: IntArray,
    noise: Float64Array | None,
) -> PerPositive:
    """The ranks of candidate rows, each held against every candidate of its query; ties as in `rank_of_rows`."""
    lengths = np.diff(offsets)[queries]
    pair_starts = np.cumsum(lengths) - lengths
    others = np.arange(lengths.sum()) + np.repeat(offsets[queries] - pair_starts, lengths)
    own, other_scores = np.repeat(scores[rows], lengths), scores[others]
    n_above = _count(other_scores > own, pair_starts)
    tied = other_scores == own
    if noise is None:
        return n_above + (_count(tied, pair_starts) + 1) / 2
    ties = np.flatnonzero(tied)
    tied[ties] = noise[others[ties]] > np.repeat(noise[rows], lengths)[ties]
    return n_above + _count(tied, pair_starts) + 1.0


def _count(flags: BoolArray, starts: IntArray) -> PerPositive:
    return np.add.reduceat(flags, starts, dtype=np.int64).astype(np.float64)


def _check_scores(scores: NDArray[Any], offsets: IntArray) -> None:
    if np.isnan(scores).any():
        n_nan = int(np.isnan(scores).sum())
        raise ValueError(f"scores: expected numbers, got NaN ({n_nan} rows). Give unscored candidates -inf.")
    if offsets[0] != 0 or offsets[-1] != len(scores) or (np.diff(offsets) < 0).any():
        got = f"{offsets[0]} to {offsets[-1]}"
        raise ValueError(f"offsets: expected a rise from 0 to {len(scores)}, got {got}. Pass the scores' own offsets.")


# Metrics of a query


def ndcg(ranks: PerPositive, offsets: Offsets, *, k: int) -> PerQuery:
    """NDCG@k with binary gains: the sum of 1 / log2(1 + rank) over the positives within k, over the best such sum."""
    n_positives = np.diff(offsets)
    clean = _missed_as_inf(ranks)
    gains = np.where(clean <= k, 1.0 / np.log2(1.0 + clean), 0.0)
    ideal_by_count = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))])
    return ratio(_sum_by_query(gains, offsets), ideal_by_count[np.minimum(n_positives, k)])


def recall(ranks: PerPositive, offsets: Offsets, *, k: int, among: BoolArray | None = None) -> PerQuery:
    """The share of a query's positives that rank within k; `among`, a mask over positives, counts those alone."""
    counted = np.ones(len(ranks), dtype=bool) if among is None else np.asarray(among, dtype=bool)
    found = (_missed_as_inf(ranks) <= k) & counted
    return ratio(_sum_by_query(found, offsets), _sum_by_query(counted, offsets))


def mrr(ranks: PerPositive, offsets: Offsets) -> PerQuery:
    """One over the rank of the query's best positive; 0 where every positive was missed."""
    reciprocal = 1.0 / _missed_as_inf(ranks)
    best = np.zeros(len(offsets) - 1)
    np.maximum.at(best, _query_of_positive(offsets), reciprocal)
    return np.where(np.diff(offsets) > 0, best, np.nan)


def mean_reciprocal_rank_of_all(ranks: PerPositive, offsets: Offsets) -> PerQuery:
    """MIND's "MRR": the mean of 1 / rank over all of a query's positives; the usual definition is `mrr`."""
    return ratio(_sum_by_query(1.0 / _missed_as_inf(ranks), offsets), np.diff(offsets))


def auc(
    ranks: PerPositive, offsets: Offsets, n_candidates: ArrayLike, *, n_retrieved: ArrayLike | None = None
) -> PerQuery:
    """The chance that a positive ranks above a negative, over the query's whole ranked set; NaN without both kinds.

    `n_candidates`: the size of the whole set (the catalogue less what is left out), a number or one a query.
    Missed positives: with `n_retrieved` given, they have the mean rank of the unretrieved (as in a random order of
    these); without it they stand last, below every negative. Mean ranks of ties give half a point a tied pair.
    """
    n_positives = np.diff(offsets).astype(np.float64)
    n_all = np.broadcast_to(np.asarray(n_candidates, dtype=np.float64), n_positives.shape)
    clean = _missed_as_inf(ranks)
    missed = np.isinf(clean)
    n_missed = _sum_by_query(missed, offsets)
    head = n_all - n_missed if n_retrieved is None else np.asarray(n_retrieved, dtype=np.float64)
    rank_sum = _sum_by_query(np.where(missed, 0.0, clean), offsets) + n_missed * (head + 1 + n_all) / 2
    pairs_lost = rank_sum - n_positives * (n_positives + 1) / 2
    return 1.0 - ratio(pairs_lost, n_positives * (n_all - n_positives))


def catalogue_metrics(
    ranks: PerPositive, offsets: Offsets, n_candidates: ArrayLike, *, n_retrieved: ArrayLike | None = None, k: int = 10
) -> dict[str, PerQuery]:
    """`ndcg@k`, `recall@k`, `mrr` and `auc` of each query over the whole catalogue; missed positives as `auc` says."""
    return {
        f"ndcg@{k}": ndcg(ranks, offsets, k=k),
        f"recall@{k}": recall(ranks, offsets, k=k),
        "mrr": mrr(ranks, offsets),
        "auc": auc(ranks, offsets, n_candidates, n_retrieved=n_retrieved),
    }


def impression_metrics(
    scores: ArrayLike, labels: ArrayLike, offsets: Offsets, *, generator: np.random.Generator
) -> dict[str, PerQuery]:
    """`ndcg@5`, `ndcg@10`, `recall@10`, `mrr` and `auc` of each impression, as MIND's official script defines them.

    `mrr` is MIND's (`mean_reciprocal_rank_of_all`); `recall@10` is ours. We differ in ties alone: the script lets the
    sort decide, here they are broken at random, and a tied pair counts half in AUC. An impression without a click has
    NaN, one without a non-click has NaN in `auc`. Source: https://github.com/msnews/MIND/blob/master/evaluate.py
    """
    mean_ranks, cuts = rank_of_positives(scores, labels, offsets)
    ranks, _ = rank_of_positives(scores, labels, offsets, generator=generator)
    return {
        "ndcg@5": ndcg(ranks, cuts, k=5),
        "ndcg@10": ndcg(ranks, cuts, k=10),
        "recall@10": recall(ranks, cuts, k=10),
        "mrr": mean_reciprocal_rank_of_all(ranks, cuts),
        "auc": auc(mean_ranks, cuts, np.diff(offsets)),
    }


def mean_over_queries(figures: PerQuery) -> float:
    """The mean over the queries that have the figure; NaN where none has."""
    defined = figures[~np.isnan(figures)]
    return float(defined.mean()) if len(defined) else float("nan")


def _missed_as_inf(ranks: PerPositive) -> PerPositive:
    clean = np.asarray(ranks, dtype=np.float64)
    return np.where(clean <= 0, np.inf, clean)


def _query_of_positive(offsets: Offsets) -> IntArray:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def _sum_by_query(values: NDArray[Any], offsets: Offsets) -> PerQuery:
    sums = np.bincount(_query_of_positive(offsets), weights=values, minlength=len(offsets) - 1)
    return sums.astype(np.float64)


def ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> PerQuery:
    """One over the other, NaN where the denominator is not above zero."""
    top, bottom = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    share = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=share, where=bottom > 0)
    return share
