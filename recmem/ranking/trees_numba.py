"""The sum of LightGBM's trees at each row, compiled by numba.

The same comparisons and, in each row, the same additions in the same order as LightGBM's own prediction, so the sums
are the same to the bit. A block of rows goes through one tree before the next, whose splits stay in the cache.

Arrays have no Python type inside compiled functions, so these are left out of type checks.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from feature_store.arrays import Float32Array, Float64Array
from feature_store.numba_cache import compiled
from feature_store.row_blocks import in_blocks
from recmem.ranking.tree_arrays import TreeArrays

ROWS_PER_TASK = 4096
"""Rows that a thread takes at a time."""
BLOCK_ROWS = 256
"""Rows that go through a tree together."""
ZERO = np.float32(1e-35)
"""LightGBM takes values up to this for 0."""
WORD_BITS = 32


def tree_sums(trees: TreeArrays, matrix: Float32Array, *, n_threads: int) -> Float64Array:
    """float64[pair] of float32[pair, input]."""
    sums = np.zeros(len(matrix), np.float64)
    matrix = np.ascontiguousarray(matrix)

    def add(begin: int, end: int) -> None:
        _add(begin, end, matrix, *trees[1:], sums)

    in_blocks(add, len(matrix), rows_per_block=ROWS_PER_TASK, n_threads=n_threads)
    return sums


@compiled(nogil=True)
@no_type_check
def _add(begin, end, rows, roots, inputs, thresholds, missing_left, left, right, leaves, sets, set_sizes, words, sums):
    # The arrays between `rows` and `sums` are those of `TreeArrays`, in its order.
    block = np.empty((BLOCK_ROWS, rows.shape[1]), np.float32)
    for first in range(begin, end, BLOCK_ROWS):
        n_rows = min(BLOCK_ROWS, end - first)
        for row in range(n_rows):
            for column in range(rows.shape[1]):
                value = rows[first + row, column]
                block[row, column] = np.float32(0) if abs(value) <= ZERO else value
        for tree in range(len(roots)):
            for row in range(n_rows):
                node = roots[tree]
                while node >= 0:
                    value = block[row, inputs[node]]
                    if np.isnan(value):
                        goes_left = missing_left[node]
                    elif sets[node] < 0:
                        goes_left = np.float64(value) <= thresholds[node]
                    elif value <= -1 or value >= set_sizes[node] * WORD_BITS:
                        goes_left = False
                    else:
                        # Cut off towards zero, as LightGBM does.
                        category = np.int64(value)
                        word = words[sets[node] + category // WORD_BITS]
                        goes_left = (word >> (category % WORD_BITS)) & 1 == 1
                    node = left[node] if goes_left else right[node]
                sums[first + row] += leaves[~node]
