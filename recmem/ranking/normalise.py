"""Values relative to their query: z-scores among its candidates, and ranks."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from feature_store.arrays import Float32Array, Float64Array, IntArray
from feature_store.point_in_time.as_of_join import stable_order

SMALLEST_SPREAD = 1e-6
"""Standard deviation; values of a query that spread less count as equal."""


def z_scores(
    columns: Float32[np.ndarray, "column pair"], offsets: IntArray, *, backend: str = "auto"
) -> Float32[np.ndarray, "column pair"]:
    """(value - mean) / standard deviation within each query's rows; 0 where the values of a query are all equal.

    `offsets` cut the rows into queries. NaN stays NaN and is left out of mean and deviation. `backend`: "numba", which
    takes all columns in one pass, or "numpy"; both give the same bits. "auto" takes numba if it is installed.

    Raises ValueError unless the offsets ascend from 0 to the number of rows: compiled code follows them unchecked.
    """
    n_rows = columns.shape[1]
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != n_rows or bool((np.diff(offsets) < 0).any()):
        raise ValueError(f"offsets: expected non-decreasing numbers from 0 to {n_rows}, got others. See Ragged.")
    if backend == "numba" or (backend == "auto" and find_spec("numba") is not None):
        from recmem.ranking.normalise_numba import z_scores_numba  # an extra, and slow to import

        return z_scores_numba(np.ascontiguousarray(columns), offsets, SMALLEST_SPREAD)
    n_queries = len(offsets) - 1
    query = np.repeat(np.arange(n_queries), np.diff(offsets))
    scores = [_z_scores(column, query, n_queries) for column in columns]
    return np.stack(scores) if scores else np.empty(columns.shape, np.float32)


def ranks(scores: NDArray[np.floating], query: IntArray) -> IntArray:
    """Rank of each score in its query, 1 for the largest; equal scores share the better rank.

    `query`, the query of each score, never decreases.
    """
    # Sort by query, and within each query by score, the best first.
    order = np.argsort(-scores)
    order = order[stable_order(query[order])]
    sorted_scores = scores[order]
    sorted_query = query[order]
    position = np.arange(len(scores))

    is_new_query = np.ones(len(scores), bool)
    is_new_query[1:] = sorted_query[1:] != sorted_query[:-1]
    query_begin = np.maximum.accumulate(np.where(is_new_query, position, 0))

    # Equal scores take the position of the first of them.
    is_new_score = is_new_query.copy()
    is_new_score[1:] |= sorted_scores[1:] != sorted_scores[:-1]
    shared_position = np.maximum.accumulate(np.where(is_new_score, position, 0))

    result = np.empty(len(scores), np.int64)
    result[order] = shared_position - query_begin + 1
    return result


def _z_scores(values: Float32Array, query: IntArray, n_queries: int) -> Float32Array:
    """The z-scores of one column: float32[pair]."""
    is_known = np.isfinite(values)
    filled = np.where(is_known, values, 0).astype(np.float64)

    # Each query is summed on its own: with differences of one running total, large values of one query would round
    # away the small ones of another.
    def sums(numbers: Float64Array) -> Float64Array:
        return np.bincount(query, numbers, n_queries).astype(np.float64, copy=False)

    n_known = np.maximum(sums(is_known.astype(np.float64)), 1)
    mean = sums(filled) / n_known
    centred = filled - mean[query]
    centred[~is_known] = 0
    deviation = np.sqrt(sums(centred**2) / n_known)
    deviation[deviation < SMALLEST_SPREAD] = np.inf  # a z-score of 0
    scores = centred / deviation[query]
    scores[~is_known] = np.nan
    return scores.astype(np.float32)
