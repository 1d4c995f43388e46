"""The newest row of each key as of a time, where a key has a row a change, as of a user's attributes."""

from __future__ import annotations

import numpy as np
import polars as pl

from feature_store.arrays import IntArray
from feature_store.point_in_time.as_of_join import AsOfIndex

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

    As of a time, it is the one that happened last of those known then, see `as_of_join`. A row that arrives late, when
    a later one is known already, changes nothing from then on.
    """

    def __init__(self, keys: IntArray, times: IntArray, known: IntArray) -> None:
        """`keys` (0 or more), `times` at which the rows happened and at which they are `known`: int64[row] each."""
        self._index = AsOfIndex(keys, known)
        order = self._index.order
        # Each row's place by when it happened, among the rows of all keys; of equal times, the one known later counts.
        place = np.empty(len(order), np.int64)
        place[np.argsort(times[order], kind="stable")] = np.arange(len(order))
        # A key's places are made larger than those of all keys before it, so that one running maximum serves all.
        begins = keys[order] * len(order)
        newest_place = np.maximum.accumulate(begins + place) - begins
        row_at_place = np.empty(len(order), np.int64)
        row_at_place[place] = order
        # Of each row of `order`: the one that happened last of its key's rows known so far.
        self._newest = row_at_place[newest_place]

    def at(self, keys: IntArray, times: IntArray) -> IntArray:
        """The row of each key that holds at its time (microseconds), -1 where none is known: int64, one per key."""
        ends = self._index.ends(keys, times)
        is_found = ends > self._index.starts(keys)
        rows = np.full(len(keys), -1, np.int64)
        rows[is_found] = self._newest[ends[is_found] - 1]
        return rows
