"""Columns relative to their query: how far a candidate stands above the other candidates of the same query."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

SMALLEST_SPREAD = 1e-6


def z_scores(values: FloatArray, offsets: IntArray) -> FloatArray:
    """(value - mean) / standard deviation within each query's rows: float32, 0 where a query's values are all alike.

    `offsets` cut the rows into queries. NaN stays NaN and is left out of mean and deviation.
    """
    n_queries = len(offsets) - 1
    query = np.repeat(np.arange(n_queries), np.diff(offsets))
    known = np.isfinite(values)
    filled = np.where(known, values, 0).astype(np.float64)

    # Each query is summed on its own: differences of a running total would let large numbers of one blur the others.
    def sums(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(query, numbers, n_queries).astype(np.float64, copy=False)

    n_known = np.maximum(sums(known.astype(np.float64)), 1)
    centred = filled - (sums(filled) / n_known)[query]
    centred[~known] = 0
    spread = np.sqrt(sums(centred**2) / n_known)
    spread[spread < SMALLEST_SPREAD] = np.inf
    scores = centred / spread[query]
    scores[~known] = np.nan
    return scores.astype(np.float32)
