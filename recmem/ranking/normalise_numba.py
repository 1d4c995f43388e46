"""Columns relative to their query, compiled by numba: all columns of a query while its rows are at hand.

Sums run over the rows of a query in their order, as numpy's do, so that the numbers are the same to the bit. The
columns' sums do not wait for each other.

Arrays have no Python type here, so what numba compiles is left out of type checks.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
from jaxtyping import Float32

from feature_store.arrays import IntArray
from feature_store.numba_cache import compiled


def z_scores_numba(
    columns: Float32[np.ndarray, "column pair"], offsets: IntArray, smallest_spread: float
) -> Float32[np.ndarray, "column pair"]:
    """See `recmem.ranking.normalise.z_scores`; `columns` are contiguous."""
    scores = np.empty_like(columns)
    _score(columns, offsets, smallest_spread, scores)
    return scores


@compiled(nogil=True, error_model="numpy")
@no_type_check
def _score(columns, offsets, smallest_spread, scores):
    n_columns = len(columns)
    total, squares, n_known = np.empty(n_columns), np.empty(n_columns), np.empty(n_columns)
    for query in range(len(offsets) - 1):
        begin, end = offsets[query], offsets[query + 1]
        total[:], squares[:], n_known[:] = 0, 0, 0
        for pair in range(begin, end):
            for column in range(n_columns):
                value = columns[column, pair]
                if np.isfinite(value):
                    total[column] += np.float64(value)
                    n_known[column] += 1
        for column in range(n_columns):
            n_known[column] = max(n_known[column], 1)
            total[column] /= n_known[column]  # now the mean
        for pair in range(begin, end):
            for column in range(n_columns):
                value = columns[column, pair]
                if np.isfinite(value):
                    centred = np.float64(value) - total[column]
                    squares[column] += centred * centred
        for column in range(n_columns):
            spread = np.sqrt(squares[column] / n_known[column])
            squares[column] = np.inf if spread < smallest_spread else spread
        for pair in range(begin, end):
            for column in range(n_columns):
                value = columns[column, pair]
                scores[column, pair] = (
                    (np.float64(value) - total[column]) / squares[column] if np.isfinite(value) else np.nan
                )
