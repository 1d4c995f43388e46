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
"""More users than this are bundled before resampling: any fixed bundles of independent users are independent too."""

NOTHING_KNOWN = (-1.0, 1.0)
"""The interval of a difference of two figures in [0, 1] when there is no spread to learn from."""

_DRAWS_AT_ONCE = 2_000_000
_CONFIDENCE_PERCENTILES = (2.5, 97.5)


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
    generator: np.random.Generator,
) -> Difference:
    """How much `b` is above `a` on the same queries (mean of b - a), and the 95% percentile interval of a bootstrap.

    `groups` names the user of each query: whole users are drawn, since one user's queries are not independent; without
    it each query is its own. `weights` weighs the queries (1 each); a query where either figure is NaN is left out.
    With fewer than two users nothing is known of the spread: the interval is `NOTHING_KNOWN`, (-1, 1).

    >>> paired_bootstrap(np.array([0.25, 0.5]), np.array([0.5, 0.75]), generator=np.random.default_rng(0))
    Difference(difference=0.25, low=0.25, high=0.25)
    """
    gains = (np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64))[:, None]
    columns = None if weights is None else np.asarray(weights, dtype=np.float64)[:, None]
    return paired_bootstraps(gains, groups=groups, weights=columns, n_resamples=n_resamples, generator=generator)[0]


def paired_bootstraps(
    gains: Float64Array,
    *,
    groups: NDArray[Any] | None = None,
    weights: NDArray[Any] | None = None,
    n_resamples: int = 2000,
    generator: np.random.Generator,
) -> list[Difference]:
    """`paired_bootstrap` for every column of `gains` = b - a (query, column), under the same draws of users."""
    defined = ~np.isnan(gains)
    shares = np.where(defined, 1.0 if weights is None else weights, 0.0)
    cluster, n_clusters = _clusters(groups, len(gains))
    totals = _sum_by_cluster(np.where(defined, gains, 0.0) * shares, cluster, n_clusters)
    sizes = _sum_by_cluster(shares, cluster, n_clusters)
    draws = [ratio(counts @ totals, counts @ sizes) for counts in _resample_counts(n_clusters, n_resamples, generator)]
    means = ratio(totals.sum(axis=0), sizes.sum(axis=0))
    resampled = np.concatenate(draws) if draws else np.empty((0, gains.shape[1]))
    n_users = (sizes > 0).sum(axis=0)
    return [_difference(means[j], resampled[:, j], int(n_users[j])) for j in range(gains.shape[1])]


def _difference(mean: float, resampled: Float64Array, n_users: int) -> Difference:
    known = resampled[~np.isnan(resampled)]
    if n_users < 2 or not len(known):
        return Difference(float(mean), *NOTHING_KNOWN)
    low, high = np.percentile(known, _CONFIDENCE_PERCENTILES)
    return Difference(float(mean), float(low), float(high))


def _clusters(groups: NDArray[Any] | None, n_queries: int) -> tuple[IntArray, int]:
    codes = np.arange(n_queries) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    bundled = codes.astype(np.int64) % MAX_CLUSTERS
    return bundled, int(bundled.max()) + 1 if n_queries else 0


def _sum_by_cluster(values: Float64Array, cluster: IntArray, n_clusters: int) -> Float64Array:
    return np.stack([np.bincount(cluster, weights=column, minlength=n_clusters) for column in values.T], axis=1)


def _resample_counts(n_clusters: int, n_resamples: int, generator: np.random.Generator) -> Iterator[Float64Array]:
    """How often each cluster is drawn, (resample, cluster), in chunks of bounded size."""
    if not n_clusters:
        return
    chunk = max(1, _DRAWS_AT_ONCE // n_clusters)
    for start in range(0, n_resamples, chunk):
        n_rows = min(chunk, n_resamples - start)
        drawn = generator.integers(0, n_clusters, size=(n_rows, n_clusters)) + np.arange(n_rows)[:, None] * n_clusters
        yield np.bincount(drawn.ravel(), minlength=n_rows * n_clusters).reshape(n_rows, n_clusters).astype(np.float64)
