"""The events of a user that were known at a time, the newest last, and how many visits ago each was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np

from feature_store.arrays import BoolArray, Int8Array, IntArray
from feature_store.point_in_time.as_of_join import MANY
from feature_store.point_in_time.further_slots import NO_TIME, FurtherSlots
from feature_store.point_in_time.read_protocol import AsOf, Past
from feature_store.ragged import Ragged


@dataclass(frozen=True, eq=False)
class Histories:
    """One row per query. The arrays beside `items` have one entry per event and share its offsets."""

    items: Ragged
    """Item rows, the newest event last."""
    times: IntArray
    """When each event happened, microseconds."""
    signs: Int8Array
    """+1 positive, 0 neutral, -1 negative."""
    recency: IntArray
    """Visits of the user between the event and the newest one: 0 for the newest visit, 1 for the one before."""
    further: FurtherSlots | None = None
    """What a memory of each history holds beside events; None for nothing."""

    @classmethod
    def as_of(cls, log: AsOf, users: IntArray, times: IntArray, limit: int) -> Histories:
        """The last `limit` events of each user known at its time; a user row of -1 has none."""
        return cls.of(log.past(users, times, limit))

    @classmethod
    def of(cls, past: Past) -> Histories:
        """The histories of these events."""
        return cls(past.items, past.times, past.signs, _visits_after(past.times, past.items))

    def __len__(self) -> int:
        return self.items.n_rows

    def beside(self, further: FurtherSlots | None) -> Histories:
        """The same histories with these slots after those that they have; None adds none."""
        if further is None:
            return self
        parts = [further] if self.further is None else [self.further, further]
        return replace(self, further=FurtherSlots.side_by_side(parts))

    def newest(self, limit: int) -> Histories:
        """The same histories, cut to their last `limit` events."""
        if not len(self) or int(self.items.lengths.max()) <= limit:
            return self
        kept = self.items.newest_places(limit)
        return self._select(kept.values, kept.lengths, self.further)

    def where(self, kept: BoolArray) -> Histories:
        """The same histories with only the events for which `kept` (one entry per event) is true."""
        lengths = np.bincount(self.items.row_index[kept], minlength=len(self))
        return self._select(np.flatnonzero(kept), lengths, self.further)

    def take(self, rows: IntArray) -> Histories:
        """The histories of the given queries, in the given order."""
        further = None if self.further is None else self.further.take(rows)
        return self._select(self.items.index_of(rows), self.items.lengths[rows], further)

    def visits_since(self, times: Ragged) -> IntArray:
        """How many visits of each history came after each of the times in its row: int64[time]; 0 for `NO_TIME`.

        Those from the first event on that happened after it: an event that arrived late stands further back.
        """
        visits = np.zeros(len(times.values), np.int64)
        for row in np.flatnonzero((times.lengths > 0) & (self.items.lengths > 0)):
            since = slice(times.offsets[row], times.offsets[row + 1])
            events = slice(self.items.offsets[row], self.items.offsets[row + 1])
            # [time, event]
            is_later = self.times[events] > times.values[since, np.newaxis]
            visits[since] = np.where(is_later, self.recency[events] + 1, 0).max(axis=1)
        visits[times.values == NO_TIME] = 0
        return visits

    def _select(self, events: IntArray, lengths: IntArray, further: FurtherSlots | None) -> Histories:
        """The given events, cut into rows of the given lengths."""
        items = Ragged.from_lengths(self.items.values[events], lengths)
        return Histories(items, self.times[events], self.signs[events], self.recency[events], further)


def _visits_after(times: IntArray, rows: Ragged) -> IntArray:
    """For every event, how often the time changes between neighbours from it to the end of its row: int64[event]."""
    if not len(times):
        return np.empty(0, np.int64)
    if len(times) > MANY and find_spec("numba") is not None:
        from feature_store.point_in_time.histories_numba import visits_after  # an extra, and slow to import

        return visits_after(times, rows.offsets)
    # changes[event]: 1 where the next event of the same row is of another time.
    changes = np.r_[times[1:] != times[:-1], False].astype(np.int64)
    lengths = rows.lengths[rows.lengths > 0]
    last_of_row = rows.offsets[1:][rows.lengths > 0] - 1
    changes[last_of_row] = 0
    # Changes from each event to the end of all rows, less those after the end of its own row.
    changes_to_end = np.cumsum(changes[::-1])[::-1]
    after_own_row = np.repeat(changes_to_end[last_of_row], lengths)
    visits: IntArray = changes_to_end - after_own_row
    return visits
