"""Item-item features of single pairs, compiled by numba: each history is scored for its own candidates only.

For query q, candidate c and weighting w, with the sum over the items i of q's history:

    found[c, w] = sum_i weight[q, i, w] * model[i, c]

The rows model[i] are sparse. They are summed into one dense line over the catalogue, which stays in the cache; then the
candidates are read from the line, and it is cleared. Products are added in the order of scipy's matrix product, so the
sums are the same to the bit.

Arrays have no Python type inside compiled functions, so these are left out of type checks.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np
import scipy.sparse as sp

from feature_store.arrays import Float32Array
from feature_store.numba_cache import compiled
from feature_store.ragged import Ragged
from feature_store.row_blocks import in_blocks

QUERIES_PER_TASK = 64
"""Histories that a thread takes at a time, all with one line."""
CLEARED_AT_ONCE = 8
"""Clearing this many neighbouring entries of the line takes as long as looking one up."""


def pair_sums(
    histories: tuple[sp.csr_matrix, sp.csr_matrix], model: sp.csr_matrix, candidates: Ragged, *, n_threads: int
) -> tuple[Float32Array, Float32Array]:
    """Two weightings of each history times the model, at the history's candidates: float32[pair] each.

    `histories` are sparse [query, item] and hold the same items in the same order. `model` is sparse [item, item].
    Candidates that the model does not cover get 0.
    """
    found = np.zeros((len(candidates.values), 2), np.float32)
    first, second = histories
    # [entry, weighting]
    weights = np.stack([first.data, second.data], axis=1)
    arrays = (first.indptr, first.indices, weights, model.indptr, model.indices, model.data)

    def add(begin: int, end: int) -> None:
        _add(begin, end, *arrays, candidates.offsets, candidates.values, found)

    in_blocks(add, len(candidates), rows_per_block=QUERIES_PER_TASK, n_threads=n_threads)
    return found[:, 0], found[:, 1]


@compiled(nogil=True)
@no_type_check
def _add(begin, end, starts, items, weights, model_starts, model_items, model_weights, offsets, candidates, found):
    # History of a query: items[starts[query] : starts[query + 1]], with weights [entry, 2].
    # Row of an item in the model: model_items[model_starts[item] : model_starts[item + 1]], with model_weights [entry].
    # Candidates of a query: candidates[offsets[query] : offsets[query + 1]], with their sums in found [pair, 2].
    n_items = len(model_starts) - 1
    line = np.zeros((n_items, 2), np.float32)
    for query in range(begin, end):
        n_added = 0
        # line[c, w] += weight[q, i, w] * model[i, c]
        for place in range(starts[query], starts[query + 1]):
            item = items[place]
            first = weights[place, 0]
            second = weights[place, 1]
            n_added += model_starts[item + 1] - model_starts[item]
            for entry in range(model_starts[item], model_starts[item + 1]):
                line[model_items[entry], 0] += first * model_weights[entry]
                line[model_items[entry], 1] += second * model_weights[entry]
        for pair in range(offsets[query], offsets[query + 1]):
            # Texts that are no items of the catalogue have rows after its own.
            if candidates[pair] < n_items:
                found[pair, 0] = line[candidates[pair], 0]
                found[pair, 1] = line[candidates[pair], 1]
        # Clear the whole line where that is quicker, else the entries that were added to.
        if n_added * CLEARED_AT_ONCE > n_items:
            line[:] = 0
        else:
            for place in range(starts[query], starts[query + 1]):
                for entry in range(model_starts[items[place]], model_starts[items[place] + 1]):
                    line[model_items[entry]] = 0
