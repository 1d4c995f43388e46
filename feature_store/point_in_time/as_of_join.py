"""The one join on time: which rows of a key were known at a time, strictly before it.

A row is known at time t if it happened before t and had arrived by then. In whole microseconds, both conditions are
`known_at <= t` with `known_at = max(timestamp + 1, available_at)`. All histories and counters are read through here.
"""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_store.arrays import IntArray
from feature_store.ragged import Ragged

MANY = 10_000
"""From this many lookups on, they are compiled by numba where it is installed, or else made in ascending order."""
RADIX_BITS = 16
"""Bits of the keys that `stable_order` sorts in one pass: numpy counts instead of comparing up to 16 bits."""


def known_at(timestamps: IntArray, available_at: IntArray | None = None) -> IntArray:
    """The first microsecond at which each row may be used: int64, `max(timestamp + 1, available_at)`."""
    after_it_happened = timestamps + 1
    return after_it_happened if available_at is None else np.maximum(after_it_happened, available_at)


def when_known() -> pl.Expr:
    """`known_at` of the rows of a store's `events` table: Int64."""
    return pl.max_horizontal(pl.col("timestamp").dt.epoch("us") + 1, pl.col("available_at").dt.epoch("us"))


class AsOfIndex:
    """Rows sorted by key, and within a key by when they became known, to read a key's past as of any time.

    `order[start:end]` are the rows of one key that were known at a time, those known first in front.
    """

    order: IntArray
    """int64[row]: the rows, sorted by key and then by when they became known; ties keep their order."""
    known: IntArray
    """int64[row]: when the rows became known, ascending over all keys."""
    begins: IntArray
    """int64[key + 1]: where each key's rows start in `order`; the last entry is the number of rows."""

    def __init__(self, keys: IntArray, known: IntArray) -> None:
        """`keys` (0 or more) and `known` (microseconds): int64[row] each."""
        is_sorted = not bool((known[1:] < known[:-1]).any())
        # Logs are sorted by time already. A stable sort by key then keeps each key's rows in order of time.
        by_time = slice(None) if is_sorted else np.argsort(known, kind="stable")
        self.known = known[by_time]
        keys = keys[by_time]
        self.begins = np.concatenate([[0], np.cumsum(np.bincount(keys))]).astype(np.int64)
        # _by_key: like `order`, but it points into the rows as sorted by time.
        self._by_key = _order(keys, self.begins)
        self.order = self._by_key if isinstance(by_time, slice) else by_time[self._by_key]

    @cached_property
    def _known_by_key(self) -> IntArray:
        """When the rows of `order` became known: ascends within each key."""
        return self.known[self._by_key]

    @cached_property
    def keys_and_places(self) -> IntArray:
        """(key, place in time) of the rows of `order`, each as one number: ascends over all keys.

        A row's place in time is the number of rows that became known before it, so one search for (key, how many rows
        of any key were known) finds where a key's known rows end.
        """
        keys = np.repeat(np.arange(len(self.begins) - 1), np.diff(self.begins))
        return keys * self.stride + self._by_key

    @property
    def stride(self) -> int:
        """Larger than every place in time, so that (key, place) fits into `key * stride + place`."""
        return len(self.known) + 1

    def starts(self, keys: IntArray) -> IntArray:
        """Where each key's rows begin in `order`; unknown keys give an empty range."""
        return self.begins[np.clip(keys, 0, len(self.begins) - 1)]

    def ends(self, keys: IntArray, times: IntArray) -> IntArray:
        """Where the rows known at `times` (microseconds) end in `order`; a key of -1 has none."""
        if len(keys) == len(times) > MANY and find_spec("numba") is not None:
            from feature_store.point_in_time.as_of_join_numba import ends_of  # an extra, and slow to import

            return ends_of(self.begins, self._known_by_key, keys, times)
        ends = _places(self.keys_and_places, keys * self.stride + self.known_until(times), side="left")
        # A key of -1 would end before its start.
        return np.maximum(ends, self.starts(keys))

    def counts(self, keys: IntArray, times: IntArray, window: int | None = None) -> IntArray:
        """How many rows of each key were known at `times`; with a window, those that became known within it."""
        begin = self.starts(keys) if window is None else self.ends(keys, times - window)
        return self.ends(keys, times) - begin

    def known_until(self, times: IntArray) -> IntArray:
        """How many rows of any key were known at `times`."""
        return _places(self.known, times, side="right")

    def last(self, keys: IntArray, times: IntArray, limit: int | None = None) -> Ragged:
        """The rows of each key known at its time, the newest last; at most the `limit` newest."""
        begin = self.starts(keys)
        end = self.ends(keys, times)
        if limit is not None:
            begin = np.maximum(begin, end - limit)
        ranges = Ragged.from_ranges(begin, end)
        return Ragged(self.order[ranges.values], ranges.offsets)


def _places(numbers: IntArray, wanted: IntArray, *, side: Literal["left", "right"]) -> IntArray:
    """np.searchsorted, with many wanted numbers in ascending order: neighbours then share what is in the cache."""
    if len(wanted) < MANY:
        return np.searchsorted(numbers, wanted, side=side)
    order = np.argsort(wanted)
    places = np.empty(len(wanted), np.int64)
    places[order] = np.searchsorted(numbers, wanted[order], side=side)
    return places


def _order(keys: IntArray, begins: IntArray) -> IntArray:
    if len(keys) > MANY and find_spec("numba") is not None:
        from feature_store.point_in_time.as_of_join_numba import order_by_key  # an extra, and slow to import

        return order_by_key(keys, begins)
    return stable_order(keys)


def stable_order(keys: IntArray) -> IntArray:
    """np.argsort(keys, kind="stable") in linear time, for keys of 0 or more: a radix sort."""
    order = np.argsort(_digit(keys, 0), kind="stable")
    for shift in range(RADIX_BITS, int(keys.max(initial=0)).bit_length(), RADIX_BITS):
        # Sorting stably by a higher digit keeps the order of the lower ones.
        order = order[np.argsort(_digit(keys[order], shift), kind="stable")]
    return order


def _digit(keys: IntArray, shift: int) -> NDArray[np.uint16]:
    return ((keys >> shift) & 0xFFFF).astype(np.uint16)
