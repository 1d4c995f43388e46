"""Exact top-k search, compiled by numba: products and selection in one pass over the table.

Queries lie side by side in a panel (`tiles_numba`). `ROWS` rows of the table at a time are widened to float32 and
multiplied with it. A product that is larger than the smallest that its query has kept replaces that one in the query's
heap. After some rows this is rare, so the table is read once and no rows x queries are stored. Each thread takes a part
of the table; their results are merged by value, then by row. Exact: ties go to the earlier row.

numba's functions are left out of type checks: arrays have no dtype and shape there.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import no_type_check

import numpy as np
from numba import njit

from feature_store.arrays import Float32Array, Int16Array, IntArray
from feature_store.numba_cache import compiled
from recmem.kernels.tiles_numba import LANES, ROWS, check_processor, fill_panel, times_panel, widen_rows

QUERIES_TOGETHER = 128
"""Queries that a row is multiplied with before the next row is read: their panel has to stay in the cache."""


def top_rows_numba(table: Int16Array, queries: Int16Array, k: int, *, n_threads: int) -> IntArray:
    """See `recmem.kernels.top_k.top_rows`. The arrays hold the bits of float16 numbers."""
    check_processor()
    result = np.empty((len(queries), k), np.int64)
    cuts = np.linspace(0, len(table), n_threads + 1).astype(np.int64)
    with ThreadPoolExecutor(n_threads) as pool:
        for first in range(0, len(queries), QUERIES_TOGETHER):
            some = queries[first : first + QUERIES_TOGETHER]
            parts = list(pool.map(lambda begin, end, some=some: _part(table, some, k, begin, end), cuts[:-1], cuts[1:]))
            # [query, n_threads * k], of which the best k: by value, then by row.
            values = np.concatenate([part[0] for part in parts], axis=1)
            rows = np.concatenate([part[1] for part in parts], axis=1)
            best = np.lexsort((rows, -values), axis=1)[:, :k]
            result[first : first + len(some)] = np.take_along_axis(rows, best, axis=1)
    return result


def _part(table: Int16Array, queries: Int16Array, k: int, begin: int, end: int) -> tuple[Float32Array, IntArray]:
    """Values and rows, [query, k] in no order, of the largest products with the rows from `begin` to `end`."""
    n_kept = min(k, int(end - begin))
    values = np.empty((len(queries), n_kept), np.float32)
    rows = np.empty((len(queries), n_kept), np.int64)
    if n_kept:
        _scan(table, queries, begin, end, values, rows)
    return values, rows


@njit(nogil=True)
@no_type_check
def _sift_down(values, rows, place):
    """Restores the heap below `place`. Its top is the worst kept: the smallest value, of ties the last row."""
    value = values[place]
    row = rows[place]
    while 2 * place + 1 < len(values):
        # The worse of the two children moves up, until the value is no better than both.
        child = 2 * place + 1
        if child + 1 < len(values) and _is_worse(values, rows, child + 1, child):
            child += 1
        if value < values[child] or (value == values[child] and row > rows[child]):
            break
        values[place] = values[child]
        rows[place] = rows[child]
        place = child
    values[place] = value
    rows[place] = row


@njit(nogil=True)
@no_type_check
def _is_worse(values, rows, left, right):
    return values[left] < values[right] or (values[left] == values[right] and rows[left] > rows[right])


@njit(nogil=True)
@no_type_check
def _any_larger(products, smallest_kept):
    # Counted without a branch, so that the compiler compares a whole vector at once.
    n_larger = 0
    for lane in range(len(products)):
        n_larger += products[lane] > smallest_kept[lane]
    return n_larger > 0


# numba keeps the compiled kernel in __pycache__ until this file changes. Remove the *.nbi there after a change of
# tiles_numba.py.
@compiled(nogil=True)
@no_type_check
def _scan(table, queries, begin, end, values, rows):
    """Fills in `values` and `rows`, [query, kept], from the rows `begin` to `end`: the body of one thread."""
    n_queries, n_kept = values.shape
    n_lanes = -(-n_queries // LANES) * LANES
    panel = np.empty((table.shape[1], n_lanes), np.float32)
    products = np.empty((ROWS, n_lanes), np.float32)
    fill_panel(queries, np.arange(n_queries), panel)
    # The smallest product kept by each query. Padding lanes stay at infinity: nothing is larger.
    smallest_kept = np.full(n_lanes, np.inf, np.float32)
    group = np.empty(ROWS, np.int64)
    widened = np.empty((ROWS, table.shape[1]), np.float32)
    for first in range(begin, end, ROWS):
        # A last group of fewer rows is filled up with its last row, whose products are not read.
        n_rows = min(end - first, ROWS)
        for member in range(ROWS):
            group[member] = first + min(member, n_rows - 1)
        widen_rows(table, group, widened)
        times_panel(widened, 0, table.shape[1], panel, 0, products)
        for member in range(n_rows):
            row = first + member
            place = row - begin
            if place < n_kept:
                # The first rows are all kept; when there are n_kept, they become a heap.
                values[:, place] = products[member, :n_queries]
                rows[:, place] = row
                if place == n_kept - 1:
                    for query in range(n_queries):
                        for top in range(n_kept // 2, -1, -1):
                            _sift_down(values[query], rows[query], top)
                        smallest_kept[query] = values[query, 0]
            elif _any_larger(products[member], smallest_kept):
                # A tie does not replace: the row that is kept came earlier.
                for query in range(n_queries):
                    if products[member, query] > smallest_kept[query]:
                        values[query, 0] = products[member, query]
                        rows[query, 0] = row
                        _sift_down(values[query], rows[query], 0)
                        smallest_kept[query] = values[query, 0]
