"""`AsOfIndex` in bulk, compiled by numba: one pass over the rows to sort them, one binary search per query.

Arrays have no Python type inside compiled functions, so these are left out of type checks.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from feature_store.arrays import IntArray
from feature_store.numba_cache import compiled


def order_by_key(keys: IntArray, begins: IntArray) -> IntArray:
    """np.argsort(keys, kind="stable"): int64[row]. `begins[key]` is where the key's rows start in the result."""
    order = np.empty(len(keys), np.int64)
    _counting_sort(keys, begins.copy(), order)
    return order


def ends_of(begins: IntArray, known: IntArray, keys: IntArray, times: IntArray) -> IntArray:
    """Where the rows of `keys[n]` known at `times[n]` end: int64[query].

    `known` is sorted by key, ascends within each, and the rows of a key are `known[begins[key] : begins[key + 1]]`.
    """
    ends = np.empty(len(keys), np.int64)
    _binary_search(begins, known, keys, times, ends)
    return ends


@compiled(nogil=True)
@no_type_check
def _counting_sort(keys, next_place, order):
    # next_place[key] moves on with every row of the key, so rows of one key keep their order.
    for row in range(len(keys)):
        order[next_place[keys[row]]] = row
        next_place[keys[row]] += 1


@compiled(nogil=True)
@no_type_check
def _binary_search(begins, known, keys, times, ends):
    n_keys = len(begins) - 1
    for query in range(len(keys)):
        key = min(max(keys[query], 0), n_keys)
        low = begins[key]
        # An unknown key has an empty range.
        high = begins[key + 1] if 0 <= keys[query] < n_keys else low
        # Rows before `low` are known at the time, rows from `high` on are not.
        while low < high:
            middle = (low + high) // 2
            if known[middle] <= times[query]:
                low = middle + 1
            else:
                high = middle
        ends[query] = low
