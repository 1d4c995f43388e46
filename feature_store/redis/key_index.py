"""Finds the position of a (row, time) among those that were fetched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_store.arrays import IntArray


@dataclass(frozen=True, eq=False)
class KeyIndex:
    """Positions of distinct (row, time) keys, by binary search; a row of -1 has the position after the last."""

    times: IntArray
    """The distinct times, sorted."""
    keys: IntArray
    """row * number of times + place of the time, sorted."""
    positions: IntArray
    """The position of each key."""

    @classmethod
    def of(cls, rows: IntArray, times: IntArray) -> KeyIndex:
        """The index of `(rows[n], times[n])` at position n."""
        distinct, place = np.unique(times, return_inverse=True)
        keys = rows * max(len(distinct), 1) + place.reshape(-1)
        order = np.argsort(keys)
        return cls(distinct, keys[order], order)

    def find(self, rows: IntArray, times: IntArray) -> IntArray:
        """The position of each `(rows[n], times[n])`. Raises ValueError if one was not fetched."""
        n_keys = len(self.keys)
        found = np.full(len(rows), n_keys)
        is_found = np.zeros(len(rows), bool)
        if n_keys:
            place = np.searchsorted(self.times, times)
            nearest_time = self.times[np.minimum(place, len(self.times) - 1)]
            keys = rows * len(self.times) + place
            at = np.minimum(np.searchsorted(self.keys, keys), n_keys - 1)
            is_found = (rows >= 0) & (nearest_time == times) & (self.keys[at] == keys)
            found = np.where(is_found, self.positions[at], n_keys)
        if not (is_found | (rows < 0)).all():
            raise ValueError(
                "request: expected users, items and times that were fetched, got some that were not. Fetch them too."
            )
        return found
