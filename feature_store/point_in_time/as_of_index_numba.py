"""Sorting by key and looking up moments in bulk, compiled by numba: one pass over the rows, one over the queries.

Arrays have no Python type here, so what numba compiles is left out of type checks.
"""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from feature_store.arrays import IntArray
from feature_store.numba_cache import compiled


def order_by_key(keys: IntArray, begins: IntArray) -> IntArray:
    """np.argsort(keys, kind="stable"); `begins[key]` is where a key's rows are to begin."""
    order = np.empty(len(keys), np.int64)
    _place(keys, begins.copy(), order)
    return order


def ends_of(begins: IntArray, known: IntArray, keys: IntArray, times: IntArray) -> IntArray:
    """Where the rows known at `times` end among each key's; `known` stands by key and ascends within each."""
    ends = np.empty(len(keys), np.int64)
    _search(begins, known, keys, times, ends)
    return ends


@compiled(nogil=True)
@no_type_check
def _place(keys, free, order):
    for row in range(len(keys)):
        order[free[keys[row]]] = row
        free[keys[row]] += 1


@compiled(nogil=True)
@no_type_check
def _search(begins, known, keys, times, ends):
    n_keys = len(begins) - 1
    for query in range(len(keys)):
        key = min(max(keys[query], 0), n_keys)
        low = begins[key]
        high = begins[key + 1] if 0 <= keys[query] < n_keys else low
        while low < high:
            middle = (low + high) // 2
            if known[middle] <= times[query]:
                low = middle + 1
            else:
                high = middle
        ends[query] = low
