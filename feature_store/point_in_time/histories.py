"""What a user did before a moment, newest last, and how much of it is recent."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from feature_store.arrays import BoolArray, Int8Array, IntArray
from feature_store.point_in_time.as_of_index import MANY
from feature_store.point_in_time.as_of_reads import AsOf, Past
from feature_store.ragged import Ragged


@dataclass(frozen=True, eq=False)
class Histories:
    """One row per query; the arrays beside `items` have one entry per remembered event and share its offsets."""

    items: Ragged
    """Item rows, the newest event last."""
    times: IntArray
    """When each event happened, microseconds."""
    signs: Int8Array
    """+1 for, 0 neutral, -1 against."""
    recency: IntArray
    """PastQueries of the user from the event to the newest one: 0 for the newest basket, 1 for the one before."""

    @classmethod
    def as_of(cls, log: AsOf, users: IntArray, times: IntArray, limit: int) -> Histories:
        """The last `limit` events of each user known at its time; a user row of -1 has none."""
        return cls.of(log.past(users, times, limit))

    @classmethod
    def of(cls, past: Past) -> Histories:
        """The histories that these events are."""
        return cls(past.items, past.times, past.signs, _moments_after(past.times, past.items))

    def __len__(self) -> int:
        return self.items.n_rows

    def newest(self, limit: int) -> Histories:
        """The same histories, cut to their last `limit` events."""
        if not len(self) or int(self.items.lengths.max()) <= limit:
            return self
        ends = self.items.offsets[1:]
        kept = Ragged.from_ranges(np.maximum(self.items.offsets[:-1], ends - limit), ends)
        return self._at(kept.values, kept.lengths)

    def where(self, kept: BoolArray) -> Histories:
        """The same histories with only the events that `kept` (one entry per event) is true for."""
        lengths = np.bincount(self.items.row_index[kept], minlength=len(self))
        return self._at(np.flatnonzero(kept), lengths)

    def _at(self, index: IntArray, lengths: IntArray) -> Histories:
        items = Ragged.from_lengths(self.items.values[index], lengths)
        return Histories(items, self.times[index], self.signs[index], self.recency[index])

    def take(self, rows: IntArray) -> Histories:
        """The histories of the given queries, in the given order."""
        return self._at(self.items.index_of(rows), self.items.lengths[rows])


def _moments_after(times: IntArray, rows: Ragged) -> IntArray:
    """For every event, the number of later distinct times next to each other in its row."""
    if not len(times):
        return np.empty(0, np.int64)
    if len(times) > MANY and find_spec("numba") is not None:
        from feature_store.point_in_time.histories_numba import moments_after  # an extra, and slow to import

        return moments_after(times, rows.offsets)
    changes = np.r_[times[1:] != times[:-1], False].astype(np.int64)
    last_of_row = rows.offsets[1:][rows.lengths > 0] - 1
    changes[last_of_row] = 0
    after = np.cumsum(changes[::-1])[::-1]
    later = np.repeat(after[last_of_row], rows.lengths[rows.lengths > 0])
    recency: IntArray = after - later
    return recency
