"""The newest row of each key as of a time, where a key has a row for each change: a user's plan, an item's price."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

import numpy as np
import polars as pl

from feature_store.arrays import IntArray
from feature_store.point_in_time.as_of_join import AsOfIndex
from feature_store.point_in_time.read_protocol import END_OF_TIME

NO_ROW = -1
ALWAYS = -(2**62)
"""When a row without any time happened and became known, microseconds."""


def when_changed() -> pl.Expr:
    """When the rows of a table of changes happened, microseconds; without a timestamp when they arrived: Int64."""
    times = [pl.col("timestamp").dt.epoch("us"), pl.col("available_at").dt.epoch("us")]
    return pl.coalesce(*times, pl.lit(ALWAYS))


def when_change_known() -> pl.Expr:
    """The first microsecond at which the rows of a table of changes may be used; `ALWAYS` without any time: Int64."""
    times = [pl.col("timestamp").dt.epoch("us") + 1, pl.col("available_at").dt.epoch("us")]
    return pl.max_horizontal(*times).fill_null(ALWAYS)


class NewestRows:
    """Rows by key, of which each holds from its time on, until the key's next one.

    As of a time, it is the one that happened last of those known then, see `as_of_join`; of several, the one known
    last. A row that arrives late, when a later one is known already, changes nothing from then on.
    """

    def __init__(self, keys: IntArray, times: IntArray, known: IntArray, until: IntArray | None = None) -> None:
        """`keys` (0 or more), `times` at which the rows happened and at which they are `known`: int64[row] each.

        `until`: when each row is cancelled, later than it is known, END_OF_TIME if never; None if no row is.
        """
        index = AsOfIndex(keys, known)
        order = index.order
        newest = _newest_so_far(keys[order], times[order], order)
        if until is None or bool((until == END_OF_TIME).all()):
            self._index = index
            self._row_at = newest
            return
        is_cancelled = np.zeros(int(keys.max(initial=0)) + 1, bool)
        is_cancelled[keys[until < END_OF_TIME]] = True
        # A cancelled row gives way to an earlier one, so these keys need every time at which their row changes.
        plain = ~is_cancelled[keys[order]]
        changes = list(_changes(keys, times, known, until, np.flatnonzero(is_cancelled[keys])))
        changed_keys, changed_at, changed_to = np.array(changes, np.int64).T
        all_rows = np.concatenate([newest[plain], changed_to])
        self._index = AsOfIndex(
            np.concatenate([keys[order][plain], changed_keys]), np.concatenate([known[order][plain], changed_at])
        )
        self._row_at = all_rows[self._index.order]

    def at(self, keys: IntArray, times: IntArray) -> IntArray:
        """The row of each key that holds at its time (microseconds), `NO_ROW` where none does: int64, one per key."""
        ends = self._index.ends(keys, times)
        is_found = ends > self._index.starts(keys)
        rows = np.full(len(keys), NO_ROW, np.int64)
        rows[is_found] = self._row_at[ends[is_found] - 1]
        return rows


def _newest_so_far(keys: IntArray, times: IntArray, rows: IntArray) -> IntArray:
    """Of each of the rows, which are sorted by key and by when they are known: the newest of its key up to it."""
    n = len(keys)
    # Each row's place by when it happened, among the rows of all keys; of equal times, the one known later counts.
    place = np.empty(n, np.int64)
    place[np.argsort(times, kind="stable")] = np.arange(n)
    # A key's places are made larger than those of all keys before it, so that one running maximum serves all.
    begins = keys * n
    newest_place = np.maximum.accumulate(begins + place) - begins
    row_at_place = np.empty(n, np.int64)
    row_at_place[place] = rows
    return row_at_place[newest_place]


def _changes(
    keys: IntArray, times: IntArray, known: IntArray, until: IntArray, rows: IntArray
) -> Iterator[tuple[int, int, int]]:
    """(key, from when on, row) whenever the row that holds may change, of the keys that the given rows have."""
    # Of each key ascending by what makes a row the newest.
    order = rows[np.lexsort((known[rows], times[rows], keys[rows]))]
    for own in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
        key = int(keys[own[0]])
        ends = until[own].tolist()
        coming = sorted(zip(known[own].tolist(), range(len(own)), strict=True), reverse=True)
        held: list[int] = []  # places in `own` of the rows known so far, as a heap with the newest on top: -place
        for time in sorted({*(at for at, _ in coming), *(end for end in ends if end < END_OF_TIME)}):
            while coming and coming[-1][0] <= time:
                heappush(held, -coming.pop()[1])
            # A row that was cancelled never holds again.
            while held and ends[-held[0]] <= time:
                heappop(held)
            yield key, time, int(own[-held[0]]) if held else NO_ROW
