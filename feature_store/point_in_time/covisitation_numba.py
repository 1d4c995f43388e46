"""Item-item columns of single pairs, compiled by numba: what a history says of its own candidates and of no others.

A history's rows of a model are added up into one line of the catalogue's length that stays in the cache, its
candidates are read from there, and the line is cleared. Products are added in the order of scipy's, so that the sums
are the same to the bit.

Arrays have no Python type here, so what numba compiles is left out of type checks.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import no_type_check

import numpy as np
import scipy.sparse as sp

from feature_store.arrays import Float32Array
from feature_store.numba_cache import compiled
from feature_store.ragged import Ragged

QUERIES_TOGETHER = 64
"""Histories that a thread takes at a time."""
CLEARED_AT_ONCE = 8
"""So many items side by side are cleared as quickly as one that is looked up."""


def pair_sums(
    histories: tuple[sp.csr_matrix, sp.csr_matrix], model: sp.csr_matrix, candidates: Ragged, *, n_threads: int
) -> tuple[Float32Array, Float32Array]:
    """Both weightings times the model, at each history's candidates: float32, one entry per value; 0 for unknown rows.

    The two weightings hold the same items in the same order.
    """
    found = np.zeros((len(candidates.values), 2), np.float32)
    first, second = histories
    weights = np.stack([first.data, second.data], axis=1)
    arrays = (first.indptr, first.indices, weights, model.indptr, model.indices, model.data)

    def add(begin: int) -> None:
        end = min(begin + QUERIES_TOGETHER, len(candidates))
        _add(begin, end, *arrays, candidates.offsets, candidates.values, found)

    begins = range(0, len(candidates), QUERIES_TOGETHER)
    if len(begins) > 1 and n_threads > 1:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(add, begins))
    else:
        for begin in begins:
            add(begin)
    return found[:, 0], found[:, 1]


@compiled(nogil=True)
@no_type_check
def _add(begin, end, starts, items, weights, model_starts, model_items, model_weights, offsets, candidates, found):
    n_items = len(model_starts) - 1
    line = np.zeros((n_items, 2), np.float32)
    for query in range(begin, end):
        n_added = 0
        for place in range(starts[query], starts[query + 1]):
            item, first, second = items[place], weights[place, 0], weights[place, 1]
            n_added += model_starts[item + 1] - model_starts[item]
            for entry in range(model_starts[item], model_starts[item + 1]):
                line[model_items[entry], 0] += first * model_weights[entry]
                line[model_items[entry], 1] += second * model_weights[entry]
        for pair in range(offsets[query], offsets[query + 1]):
            if candidates[pair] < n_items:
                found[pair, 0] = line[candidates[pair], 0]
                found[pair, 1] = line[candidates[pair], 1]
        if n_added * CLEARED_AT_ONCE > n_items:
            line[:] = 0
        else:
            for place in range(starts[query], starts[query + 1]):
                for entry in range(model_starts[items[place]], model_starts[items[place] + 1]):
                    line[model_items[entry]] = 0
