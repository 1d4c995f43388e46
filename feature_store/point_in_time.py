"""The one join on time: what was known about a key at a moment, strictly before it.

A row is known at time t when it happened before t and had arrived by then. In whole microseconds both say
`known_at <= t`, with `known_at = max(timestamp + 1, available_at)`. Histories and counters all come from here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from feature_store.ragged import Ragged

IntArray = NDArray[np.int64]


def known_at(timestamps: IntArray, available_at: IntArray | None = None) -> IntArray:
    """The first microsecond at which each row may be used: int64, `max(timestamp + 1, available_at)`."""
    first = timestamps + 1
    return first if available_at is None else np.maximum(first, available_at)


class AsOfIndex:
    """Rows sorted by key and then by when they became known, for reading a key's past as of any moment.

    `order[start:end]` are the rows of one key that were known at a moment, the longest known first.
    """

    def __init__(self, keys: IntArray, known: IntArray) -> None:
        """`keys` (0 or more) and `known` (microseconds, never falling) are int64 of the same length."""
        self._known = np.sort(known)
        self._times, ranks = np.unique(known, return_inverse=True)
        self._stride = len(self._times) + 1
        composite = keys * self._stride + ranks + 1
        self.order: IntArray = np.argsort(composite, kind="stable")
        self._sorted = composite[self.order]

    def starts(self, keys: IntArray) -> IntArray:
        """Where each key's rows begin in `order`; unknown keys give an empty range."""
        return np.searchsorted(self._sorted, keys * self._stride, side="left")

    def ends(self, keys: IntArray, times: IntArray) -> IntArray:
        """Where the rows known at `times` (microseconds) end in `order`; a key of -1 has none."""
        ranks = np.searchsorted(self._times, times, side="right")
        ends = np.searchsorted(self._sorted, keys * self._stride + ranks, side="right")
        return np.maximum(ends, self.starts(keys))

    def counts(self, keys: IntArray, times: IntArray, window: int | None = None) -> IntArray:
        """How many rows of each key were known at `times`; with a window, those that became known within it."""
        begin = self.starts(keys) if window is None else self.ends(keys, times - window)
        return self.ends(keys, times) - begin

    def known_until(self, times: IntArray) -> IntArray:
        """How many rows of any key were known at `times`."""
        return np.searchsorted(self._known, times, side="right")

    def last(self, keys: IntArray, times: IntArray, limit: int | None = None) -> Ragged:
        """The rows of each key known at its time, the newest last; at most `limit`, the newest ones."""
        begin, end = self.starts(keys), self.ends(keys, times)
        if limit is not None:
            begin = np.maximum(begin, end - limit)
        ranges = Ragged.from_ranges(begin, end)
        return Ragged(self.order[ranges.values], ranges.offsets)
