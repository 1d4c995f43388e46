"""Numbers relative to their query: how far a candidate stands above the others, and its place among them."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from feature_store.arrays import Float32Array, Float64Array, IntArray
from feature_store.point_in_time.as_of_index import stable_order

SMALLEST_SPREAD = 1e-6


def z_scores(
    columns: Float32[np.ndarray, "column pair"], offsets: IntArray, *, backend: str = "auto"
) -> Float32[np.ndarray, "column pair"]:
    """(value - mean) / standard deviation within each query's rows, 0 where a query's values are all alike.

    `offsets` cut the rows into queries. NaN stays NaN and is left out of mean and deviation. `backend`: "numba", which
    takes all columns in one pass, or "numpy", with the same numbers to the bit; "auto" takes numba where it is.
    """
    if backend == "numba" or (backend == "auto" and find_spec("numba") is not None):
        from recmem.ranking.normalise_numba import z_scores_numba  # an extra, and slow to import

        return z_scores_numba(np.ascontiguousarray(columns), offsets, SMALLEST_SPREAD)
    query = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    scores = [_z_scores(column, query, len(offsets) - 1) for column in columns]
    return np.stack(scores) if scores else np.empty(columns.shape, np.float32)


def ranks(scores: NDArray[np.floating], query: IntArray) -> IntArray:
    """Place of each score in its query, 1 for the largest; equal scores share the better place. `query` never falls."""
    order = np.argsort(-scores)
    order = order[stable_order(query[order])]
    ordered, owner, place = scores[order], query[order], np.arange(len(scores))
    is_first = np.ones(len(scores), bool)
    is_first[1:] = owner[1:] != owner[:-1]
    begin = np.maximum.accumulate(np.where(is_first, place, 0))
    is_first[1:] |= ordered[1:] != ordered[:-1]
    shared = np.maximum.accumulate(np.where(is_first, place, 0))
    result = np.empty(len(scores), np.int64)
    result[order] = shared - begin + 1
    return result


def _z_scores(values: Float32Array, query: IntArray, n_queries: int) -> Float32Array:
    known = np.isfinite(values)
    filled = np.where(known, values, 0).astype(np.float64)

    # Each query is summed on its own: differences of a running total would let large numbers of one blur the others.
    def sums(numbers: Float64Array) -> Float64Array:
        return np.bincount(query, numbers, n_queries).astype(np.float64, copy=False)

    n_known = np.maximum(sums(known.astype(np.float64)), 1)
    centred = filled - (sums(filled) / n_known)[query]
    centred[~known] = 0
    spread = np.sqrt(sums(centred**2) / n_known)
    spread[spread < SMALLEST_SPREAD] = np.inf
    scores = centred / spread[query]
    scores[~known] = np.nan
    return scores.astype(np.float32)
