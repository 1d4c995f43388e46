"""The one join on time: what was known about a key at a moment, strictly before it.

A row is known at time t when it happened before t and had arrived by then. In whole microseconds both say
`known_at <= t`, with `known_at = max(timestamp + 1, available_at)`. Histories and counters all come from here.
"""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from typing import Literal

import numpy as np
import polars as pl

from feature_store.arrays import IntArray
from feature_store.ragged import Ragged

MANY = 10_000
"""From so many on, numbers are looked up in ascending order, or by what numba compiles where it is installed."""


def known_at(timestamps: IntArray, available_at: IntArray | None = None) -> IntArray:
    """The first microsecond at which each row may be used: int64, `max(timestamp + 1, available_at)`."""
    first = timestamps + 1
    return first if available_at is None else np.maximum(first, available_at)


def when_known() -> pl.Expr:
    """`known_at` of the rows of a store's `events` table: Int64."""
    return pl.max_horizontal(pl.col("timestamp").dt.epoch("us") + 1, pl.col("available_at").dt.epoch("us"))


class AsOfIndex:
    """Rows sorted by key and then by when they became known, for reading a key's past as of any moment.

    `order[start:end]` are the rows of one key that were known at a moment, the longest known first.
    """

    def __init__(self, keys: IntArray, known: IntArray) -> None:
        """`keys` (0 or more) and `known` (microseconds) are int64 of the same length."""
        rises = not bool((known[1:] < known[:-1]).any())
        by_time = slice(None) if rises else np.argsort(known, kind="stable")
        self._known, keys = known[by_time], keys[by_time]
        self._begins = np.concatenate([[0], np.cumsum(np.bincount(keys))]).astype(np.int64)
        self._by_key = _order(keys, self._begins)
        self.order: IntArray = self._by_key if isinstance(by_time, slice) else by_time[self._by_key]

    @cached_property
    def _known_by_key(self) -> IntArray:
        return self._known[self._by_key]

    @cached_property
    def _sorted(self) -> IntArray:
        # A row's place in time tells how many became known before it: key and number are retrieved as one.
        keys = np.repeat(np.arange(len(self._begins) - 1), np.diff(self._begins))
        return keys * self._stride + self._by_key

    @property
    def _stride(self) -> int:
        return len(self._known) + 1

    def starts(self, keys: IntArray) -> IntArray:
        """Where each key's rows begin in `order`; unknown keys give an empty range."""
        return self._begins[np.clip(keys, 0, len(self._begins) - 1)]

    def ends(self, keys: IntArray, times: IntArray) -> IntArray:
        """Where the rows known at `times` (microseconds) end in `order`; a key of -1 has none."""
        if len(keys) == len(times) > MANY and find_spec("numba") is not None:
            from feature_store.point_in_time.as_of_index_numba import ends_of  # an extra, and slow to import

            return ends_of(self._begins, self._known_by_key, keys, times)
        ends = _places(self._sorted, keys * self._stride + self.known_until(times), side="left")
        return np.maximum(ends, self.starts(keys))

    def counts(self, keys: IntArray, times: IntArray, window: int | None = None) -> IntArray:
        """How many rows of each key were known at `times`; with a window, those that became known within it."""
        begin = self.starts(keys) if window is None else self.ends(keys, times - window)
        return self.ends(keys, times) - begin

    def known_until(self, times: IntArray) -> IntArray:
        """How many rows of any key were known at `times`."""
        return _places(self._known, times, side="right")

    def last(self, keys: IntArray, times: IntArray, limit: int | None = None) -> Ragged:
        """The rows of each key known at its time, the newest last; at most `limit`, the newest ones."""
        begin, end = self.starts(keys), self.ends(keys, times)
        if limit is not None:
            begin = np.maximum(begin, end - limit)
        ranges = Ragged.from_ranges(begin, end)
        return Ragged(self.order[ranges.values], ranges.offsets)


def _places(numbers: IntArray, wanted: IntArray, *, side: Literal["left", "right"]) -> IntArray:
    """np.searchsorted, many wanted numbers in ascending order: neighbours then find what they need in the cache."""
    if len(wanted) < MANY:
        return np.searchsorted(numbers, wanted, side=side)
    order = np.argsort(wanted)
    places = np.empty(len(wanted), np.int64)
    places[order] = np.searchsorted(numbers, wanted[order], side=side)
    return places


def _order(keys: IntArray, begins: IntArray) -> IntArray:
    if len(keys) > MANY and find_spec("numba") is not None:
        from feature_store.point_in_time.as_of_index_numba import order_by_key  # an extra, and slow to import

        return order_by_key(keys, begins)
    return stable_order(keys)


def stable_order(keys: IntArray) -> IntArray:
    """np.argsort(keys, kind="stable") in linear time, for keys of 0 or more: 16 bits at once are sorted by counting."""
    order = np.argsort((keys & 0xFFFF).astype(np.uint16), kind="stable")
    for shift in range(16, int(keys.max(initial=0)).bit_length(), 16):
        order = order[np.argsort(((keys[order] >> shift) & 0xFFFF).astype(np.uint16), kind="stable")]
    return order
