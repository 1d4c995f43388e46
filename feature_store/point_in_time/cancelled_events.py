"""Events that were taken back, read as of moments at which they still counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl

from feature_store.arrays import IntArray
from feature_store.point_in_time.as_of_index import AsOfIndex, known_at
from feature_store.point_in_time.as_of_reads import END_OF_TIME, START_OF_TIME, Past
from feature_store.point_in_time.event_log import EventLog
from feature_store.ragged import Ragged


@dataclass(frozen=True, eq=False)
class CancelledEvents:
    """`AsOf` for events that have an end: each counts at the times t with `known <= t < gone`."""

    log: EventLog
    """The events, as if they had no end."""
    gone: IntArray
    """From when on each no longer counts, microseconds; later than it became known."""
    _ends: dict[int | None, AsOfIndex] = field(default_factory=dict, repr=False)

    @classmethod
    def from_columns(cls, rows: pl.DataFrame) -> CancelledEvents | None:
        """What was taken back of rows of `event_columns`; None where nothing was."""
        if "gone" not in rows.columns:
            return None
        ended = rows.filter(pl.col("gone") < END_OF_TIME, pl.col("item") >= 0, pl.col("user") >= 0)
        ended = ended.sort("known", "time", "user", "item", "sign", "gone")
        return cls(EventLog.from_columns(ended), ended["gone"].to_numpy().copy()) if len(ended) else None

    @property
    def clock(self) -> int:
        """The first microsecond at which nothing of this counts any more."""
        return int(self.gone.max(initial=0))

    def n_changes(self, time: int) -> int:
        """See `EventLog.n_changes`."""
        return self.log.n_changes(time) + int(np.count_nonzero(self.gone <= time))

    def standing(self, time: int) -> EventLog:
        """The events that count at a time."""
        rows = np.flatnonzero((self.log.known <= time) & (self.gone > time))
        return self.log.rows(rows)

    def past(self, users: IntArray, times: IntArray, limit: int | None = None) -> Past:
        """See `AsOf.past`."""
        events = self.log.by_user.last(users, times)
        counts = self.gone[events.values] > times[events.row_index]
        lengths = np.bincount(events.row_index[counts], minlength=len(users))
        return self.log.taken(Ragged.from_lengths(events.values[counts], lengths).newest(limit))

    def seen(self, users: IntArray, times: IntArray) -> Ragged:
        """See `AsOf.seen`."""
        return self.past(users, times).items

    def user_counts(self, users: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.user_counts`."""
        newest = self.past(users, times, 1)
        when = np.zeros(len(users), np.int64)
        when[newest.items.row_index] = newest.times
        return self.log.by_user.counts(users, times) - self._by_user_end.counts(users, times), when

    def item_counts(self, items: IntArray, times: IntArray, windows: Sequence[int]) -> list[IntArray]:
        """See `AsOf.item_counts`."""
        begun = self.log.by_item.counts(items, times)
        return [begun - self._ended(window).counts(items, times) for window in (None, *windows)]

    def item_firsts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.item_firsts`."""
        by_item = self.log.by_item
        place = by_item.starts(items) + self._by_item_prefix.counts(items, times)
        there = place < by_item.ends(items, times)
        known, when = (np.full(len(items), END_OF_TIME) for _ in range(2))
        first = by_item.order[place[there]]
        known[there], when[there] = self.log.known[first], self.log.times[first]
        return known, when

    def item_lasts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.item_lasts`."""
        known = np.full(len(items), START_OF_TIME)
        happened = np.full(len(items), START_OF_TIME)
        by_time = self._by_item_and_time
        # An event becomes known after it happened, so no event from `ends` on counts.
        place = by_time.ends(items, times) - 1
        searching = np.flatnonzero(self.item_counts(items, times, ())[0] > 0)
        # Each of these items has an event that counts: step back over those that arrive later or are cancelled already.
        while len(searching):
            event = by_time.order[place[searching]]
            counts = (self.log.known[event] <= times[searching]) & (times[searching] < self.gone[event])
            found = searching[counts]
            known[found] = self.log.known[event[counts]]
            happened[found] = self.log.times[event[counts]]
            searching = searching[~counts]
            place[searching] -= 1
        return known, happened

    def _ended(self, window: int | None) -> AsOfIndex:
        """Events by item and by when they are gone, or have left the window that ends at the moment of the question."""
        if window not in self._ends:
            ends = self.gone if window is None else np.minimum(self.gone, self.log.known + window)
            self._ends[window] = AsOfIndex(self.log.item_rows, ends)
        return self._ends[window]

    @cached_property
    def _by_user_end(self) -> AsOfIndex:
        return AsOfIndex(self.log.user_rows, self.gone)

    @cached_property
    def _by_item_and_time(self) -> AsOfIndex:
        """Events by item and by when they happened; the log's order, by when they became known, breaks ties."""
        return AsOfIndex(self.log.item_rows, known_at(self.log.times))

    @cached_property
    def _by_item_prefix(self) -> AsOfIndex:
        """Events by item and by when they and all that became known of the item before them are gone."""
        order = self.log.by_item.order
        items, (ends, rank) = self.log.item_rows[order], np.unique(self.gone[order], return_inverse=True)
        # Items ascend, so the greatest number so far is one of the same item.
        last = np.maximum.accumulate(items * len(ends) + rank.reshape(-1)) - items * len(ends)
        return AsOfIndex(items, ends[last])
