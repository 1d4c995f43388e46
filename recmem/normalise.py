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
    lengths = np.diff(offsets)
    known = np.isfinite(values)
    filled = np.where(known, values, 0).astype(np.float64)
    n_known = np.maximum(_sums(known.astype(np.float64), offsets), 1)
    centred = filled - np.repeat(_sums(filled, offsets) / n_known, lengths)
    centred[~known] = 0
    spread = np.sqrt(_sums(centred**2, offsets) / n_known)
    spread[spread < SMALLEST_SPREAD] = np.inf
    scores = centred / np.repeat(spread, lengths)
    scores[~known] = np.nan
    return scores.astype(np.float32)


def _sums(values: NDArray[np.float64], offsets: IntArray) -> NDArray[np.float64]:
    totals = np.concatenate([[0.0], np.cumsum(values)])
    sums: NDArray[np.float64] = np.diff(totals[offsets])
    return sums
