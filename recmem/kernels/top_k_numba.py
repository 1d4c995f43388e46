"""The largest cosines of a few queries with a whole table, compiled by numba: products and selection in one pass.

Queries lie side by side in a panel (`tiles_numba`). Four rows of the table at a time are multiplied with it, and a
cosine that is larger than the smallest that its query has kept goes into the query's heap: few do, once some rows have
been seen, so that the table is read once and nothing of rows x queries is stored. Threads take parts of the table;
their finds are merged in the order of value and row. Exact: equal cosines go to the earlier row.

Arrays have no Python type here, so what numba compiles is left out of type checks.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import no_type_check

import numpy as np
from numba import njit

from feature_store.arrays import Float32Array, IntArray
from feature_store.numba_cache import compiled
from recmem.kernels.tiles_numba import LANES, ROWS, fill_panel, times_panel

QUERIES_TOGETHER = 128
"""Queries that are multiplied with a row while it is at hand: their panel has to stay in the cache."""


def top_rows_numba(table: Float32Array, queries: Float32Array, k: int, *, n_threads: int) -> IntArray:
    """See `recmem.kernels.top_k.top_rows`. Raises RuntimeError for other numbers than float32."""
    if table.dtype != np.float32:
        reason = f"numba: the table is {table.dtype}, and numba reads float32"
        raise RuntimeError(f"backend: expected one that can run here, got {reason}. Use 'auto'.")
    found = np.empty((len(queries), k), np.int64)
    with ThreadPoolExecutor(n_threads) as pool:
        for first in range(0, len(queries), QUERIES_TOGETHER):
            some = queries[first : first + QUERIES_TOGETHER]
            cuts = np.linspace(0, len(table), n_threads + 1).astype(np.int64)
            parts = list(pool.map(lambda begin, end, some=some: _part(table, some, k, begin, end), cuts[:-1], cuts[1:]))
            values, rows = (np.concatenate(column, axis=1) for column in zip(*parts, strict=True))
            best = np.lexsort((rows, -values), axis=1)[:, :k]
            found[first : first + len(some)] = np.take_along_axis(rows, best, axis=1)
    return found


def _part(table: Float32Array, queries: Float32Array, k: int, begin: int, end: int) -> tuple[Float32Array, IntArray]:
    """Values and rows of the largest of the rows from `begin` to `end`, in no order."""
    kept = min(k, int(end - begin))
    values, rows = np.empty((len(queries), kept), np.float32), np.empty((len(queries), kept), np.int64)
    if kept:
        _scan(table, queries, begin, end, values, rows)
    return values, rows


@njit(nogil=True)
@no_type_check
def _sink(values, rows, place):
    """Restores the heap below `place`: at its top the smallest value, of equal ones the last row."""
    value, row = values[place], rows[place]
    while 2 * place + 1 < len(values):
        child = 2 * place + 1
        if child + 1 < len(values) and _is_worse(values, rows, child + 1, child):
            child += 1
        if value < values[child] or (value == values[child] and row > rows[child]):
            break
        values[place], rows[place] = values[child], rows[child]
        place = child
    values[place], rows[place] = value, row


@njit(nogil=True)
@no_type_check
def _is_worse(values, rows, one, other):
    return values[one] < values[other] or (values[one] == values[other] and rows[one] > rows[other])


# What is compiled is kept in __pycache__ until this file changes. After a change of tiles_numba, remove *.nbi there.
@compiled(nogil=True)
@no_type_check
def _scan(table, queries, begin, end, values, rows):
    n_queries, n_kept = values.shape
    lanes = -(-n_queries // LANES) * LANES
    panel, cosine = np.empty((table.shape[1], lanes), np.float32), np.empty((ROWS, lanes), np.float32)
    fill_panel(queries, np.arange(n_queries), panel)
    least, four = np.full(lanes, np.inf, np.float32), np.empty(ROWS, np.int64)
    for first in range(begin, end, ROWS):
        n_rows = min(end - first, ROWS)
        for one in range(ROWS):
            four[one] = first + min(one, n_rows - 1)
        times_panel(table, four, 0, table.shape[1], panel, 0, cosine)
        for one in range(n_rows):
            place = first + one - begin
            if place < n_kept:
                values[:, place], rows[:, place] = cosine[one, :n_queries], first + one
                if place == n_kept - 1:
                    for query in range(n_queries):
                        for top in range(n_kept // 2, -1, -1):
                            _sink(values[query], rows[query], top)
                        least[query] = values[query, 0]
            elif _any_larger(cosine[one], least):
                for query in range(n_queries):
                    if cosine[one, query] > least[query]:
                        values[query, 0], rows[query, 0] = cosine[one, query], first + one
                        _sink(values[query], rows[query], 0)
                        least[query] = values[query, 0]


@njit(nogil=True)
@no_type_check
def _any_larger(cosine, least):
    # Counted, not asked one by one: that takes a whole vector at once.
    n_larger = 0
    for lane in range(len(cosine)):
        n_larger += cosine[lane] > least[lane]
    return n_larger > 0
