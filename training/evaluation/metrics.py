"""Ranking metrics, one figure per query, from the ranks of its positives. Pure numpy.

Positives of all queries lie in one flat array, cut by `offsets` (see `training.evaluation.ranks`). Ranks are 1-based,
and may be a half where candidates tie; a positive that was not retrieved has the rank `inf`, or 0. A query for which a
metric is not defined (it has no positives, say) has NaN, and means leave it out.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from feature_store.arrays import BoolArray, Float64Array, IntArray
from training.evaluation.ranks import Offsets, PerPositive, rank_of_positives

PerQuery: TypeAlias = Float64Array


def ndcg(ranks: PerPositive, offsets: Offsets, *, k: int) -> PerQuery:
    """NDCG@k with binary gains: the sum of 1 / log2(1 + rank) over the positives within k, over the best such sum."""
    clean = _missed_as_inf(ranks)
    gains = np.where(clean <= k, 1.0 / np.log2(1.0 + clean), 0.0)
    # The best sum by number of positives, at the ranks 1, 2, ...: float64[k + 1], since no more than k count.
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    best_by_count = np.concatenate([[0.0], np.cumsum(discounts)])
    n_counted = np.minimum(np.diff(offsets), k)
    return ratio(_sum_by_query(gains, offsets), best_by_count[n_counted])


def recall(ranks: PerPositive, offsets: Offsets, *, k: int, among: BoolArray | None = None) -> PerQuery:
    """The share of a query's positives that rank within k; `among`, a mask over positives, counts only those."""
    counted = np.ones(len(ranks), dtype=bool) if among is None else np.asarray(among, dtype=bool)
    found = (_missed_as_inf(ranks) <= k) & counted
    return ratio(_sum_by_query(found, offsets), _sum_by_query(counted, offsets))


def mrr(ranks: PerPositive, offsets: Offsets) -> PerQuery:
    """The reciprocal rank of the query's best positive; 0 if every positive was missed."""
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

    `n_candidates`: the size of the whole set (the catalogue without the excluded items), a number or one per query.
    Missed positives: if `n_retrieved` is given, they have the mean rank of the unretrieved items, as in a random order
    of these; otherwise they rank last, below every negative. With mean ranks of ties a tied pair counts half.

    From the rank sum, as in the Mann-Whitney U test: AUC = 1 - (rank sum - P (P + 1) / 2) / (P N), for P positives and
    N negatives.
    """
    n_positives = np.diff(offsets).astype(np.float64)
    n_all = np.broadcast_to(np.asarray(n_candidates, dtype=np.float64), n_positives.shape)
    clean = _missed_as_inf(ranks)
    missed = np.isinf(clean)
    n_missed = _sum_by_query(missed, offsets)
    # Missed positives share the ranks n_ahead + 1, ..., n_all. Their mean is (n_ahead + 1 + n_all) / 2.
    n_ahead = n_all - n_missed if n_retrieved is None else np.asarray(n_retrieved, dtype=np.float64)
    missed_rank_sum = n_missed * (n_ahead + 1 + n_all) / 2
    rank_sum = _sum_by_query(np.where(missed, 0.0, clean), offsets) + missed_rank_sum
    # Pairs (positive, negative) with the negative above: none if the positives have the ranks 1, ..., P.
    pairs_lost = rank_sum - n_positives * (n_positives + 1) / 2
    return 1.0 - ratio(pairs_lost, n_positives * (n_all - n_positives))


def catalogue_metrics(
    ranks: PerPositive, offsets: Offsets, n_candidates: ArrayLike, *, n_retrieved: ArrayLike | None = None, k: int = 10
) -> dict[str, PerQuery]:
    """`ndcg@k`, `recall@k`, `mrr` and `auc` of each query over the whole catalogue; missed positives as in `auc`."""
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

    `mrr` is MIND's (`mean_reciprocal_rank_of_all`); `recall@10` is ours. Only ties differ: the script leaves them to
    the sort, here they are broken at random, and a tied pair counts half in AUC. An impression without a click has NaN;
    one without a non-click has NaN in `auc`. Source: https://github.com/msnews/MIND/blob/master/evaluate.py
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
    """The mean over the queries that have the figure; NaN if none has."""
    defined = figures[~np.isnan(figures)]
    return float(defined.mean()) if len(defined) else float("nan")


def ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> PerQuery:
    """`numerator / denominator` in float64; NaN where the denominator is not above zero."""
    numerator = np.asarray(numerator, dtype=np.float64)
    denominator = np.asarray(denominator, dtype=np.float64)
    quotient = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


def _missed_as_inf(ranks: PerPositive) -> PerPositive:
    clean = np.asarray(ranks, dtype=np.float64)
    return np.where(clean <= 0, np.inf, clean)


def _query_of_positive(offsets: Offsets) -> IntArray:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def _sum_by_query(values: NDArray[Any], offsets: Offsets) -> PerQuery:
    """Sums of the entries (one per positive) by query: float64[query]."""
    sums = np.bincount(_query_of_positive(offsets), weights=values, minlength=len(offsets) - 1)
    return sums.astype(np.float64)
