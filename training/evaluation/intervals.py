"""Paired bootstrap intervals over users, of figures per query. Pure numpy.

A query for which a figure is not defined has NaN, and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from feature_store.arrays import Float64Array, IntArray
from training.evaluation.metrics import PerQuery, ratio

MAX_CLUSTERS = 20_000
"""More users than this are merged into as many clusters before resampling: clusters of users are independent too."""

UNKNOWN_INTERVAL = (-1.0, 1.0)
"""The interval of a difference of two figures in [0, 1] when there are too few users to estimate it from."""

_COUNTS_AT_ONCE = 2_000_000
"""Entries of the matrix (resample, cluster) that are drawn at a time: bounds the memory."""
CONFIDENCE_PERCENTILES = (2.5, 97.5)
"""Of the resampled means: the ends of a 95% interval."""


class Difference(NamedTuple):
    """A mean difference and its 95% interval."""

    difference: float
    low: float
    high: float


def paired_bootstrap(
    a: PerQuery,
    b: PerQuery,
    *,
    groups: NDArray[Any] | None = None,
    weights: NDArray[Any] | None = None,
    n_resamples: int = 2000,
    percentiles: tuple[float, float] = CONFIDENCE_PERCENTILES,
    generator: np.random.Generator,
) -> Difference:
    """The mean of b - a on the same queries, and the 95% percentile interval of a bootstrap.

    `groups` names the user of each query: whole users are drawn, since one user's queries are not independent; without
    it each query is drawn on its own. `weights` weighs the queries (default 1); a query where either figure is NaN is
    left out. `percentiles` of the resampled means are the interval's ends. With fewer than two users the interval is
    `UNKNOWN_INTERVAL`, (-1, 1).

    >>> paired_bootstrap(np.array([0.25, 0.5]), np.array([0.5, 0.75]), generator=np.random.default_rng(0))
    Difference(difference=0.25, low=0.25, high=0.25)
    """
    gains = (np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64))[:, None]
    columns = None if weights is None else np.asarray(weights, dtype=np.float64)[:, None]
    return paired_bootstraps(
        gains,
        groups=groups,
        weights=columns,
        n_resamples=n_resamples,
        percentiles=percentiles,
        generator=generator,
    )[0]


def paired_bootstraps(
    gains: Float64Array,
    *,
    groups: NDArray[Any] | None = None,
    weights: NDArray[Any] | None = None,
    n_resamples: int = 2000,
    percentiles: tuple[float, float] = CONFIDENCE_PERCENTILES,
    generator: np.random.Generator,
) -> list[Difference]:
    """`paired_bootstrap` for every column of `gains` = b - a, under the same draws of users.

    `gains` and `weights`: float64[query, column].
    """
    n_columns = gains.shape[1]
    defined = ~np.isnan(gains)
    query_weights = np.where(defined, 1.0 if weights is None else weights, 0.0)
    weighted_gains = np.where(defined, gains, 0.0) * query_weights
    cluster, n_clusters = _clusters(groups, len(gains))
    # A weighted mean is a sum of gains over a sum of weights, and both add up over clusters: float64[cluster, column].
    gain_sums = _sum_by_cluster(weighted_gains, cluster, n_clusters)
    weight_sums = _sum_by_cluster(query_weights, cluster, n_clusters)
    means = ratio(gain_sums.sum(axis=0), weight_sums.sum(axis=0))
    n_users = (weight_sums > 0).sum(axis=0)
    # [resample, cluster] @ [cluster, column] -> [resample, column]
    parts = [
        ratio(counts @ gain_sums, counts @ weight_sums)
        for counts in _resample_counts(n_clusters, n_resamples, generator)
    ]
    resampled_means = np.concatenate(parts) if parts else np.empty((0, n_columns))
    return [_difference(means[j], resampled_means[:, j], int(n_users[j]), percentiles) for j in range(n_columns)]


def _difference(
    mean: float, resampled_means: Float64Array, n_users: int, percentiles: tuple[float, float]
) -> Difference:
    # A resample without any query of the column has no mean.
    defined = resampled_means[~np.isnan(resampled_means)]
    if n_users < 2 or not len(defined):
        return Difference(float(mean), *UNKNOWN_INTERVAL)
    low, high = np.percentile(defined, percentiles)
    return Difference(float(mean), float(low), float(high))


def _clusters(groups: NDArray[Any] | None, n_queries: int) -> tuple[IntArray, int]:
    """The cluster of each query, int64[query], and how many there are: one per user, or fewer where users are many."""
    if not n_queries:
        return np.empty(0, np.int64), 0
    user = np.arange(n_queries) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    cluster = user.astype(np.int64) % MAX_CLUSTERS
    return cluster, int(cluster.max()) + 1


def _sum_by_cluster(values: Float64Array, cluster: IntArray, n_clusters: int) -> Float64Array:
    """float64[query, column] summed to float64[cluster, column]."""
    return np.stack([np.bincount(cluster, weights=column, minlength=n_clusters) for column in values.T], axis=1)


def _resample_counts(n_clusters: int, n_resamples: int, generator: np.random.Generator) -> Iterator[Float64Array]:
    """How often each cluster is drawn, float64[resample, cluster], in chunks of bounded size."""
    if not n_clusters:
        return
    chunk = max(1, _COUNTS_AT_ONCE // n_clusters)
    for start in range(0, n_resamples, chunk):
        n_rows = min(chunk, n_resamples - start)
        drawn = generator.integers(0, n_clusters, size=(n_rows, n_clusters))
        # One bincount for all rows: cluster c of row r is counted in the cell r * n_clusters + c.
        cells = drawn + np.arange(n_rows)[:, None] * n_clusters
        counts = np.bincount(cells.ravel(), minlength=n_rows * n_clusters)
        yield counts.reshape(n_rows, n_clusters).astype(np.float64)
