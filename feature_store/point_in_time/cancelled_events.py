"""Events that were cancelled, read as of the times at which they still counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl

from feature_store.arrays import IntArray
from feature_store.point_in_time.as_of_join import AsOfIndex, known_at
from feature_store.point_in_time.event_log import EventLog
from feature_store.point_in_time.read_protocol import END_OF_TIME, START_OF_TIME, Past
from feature_store.ragged import Ragged


@dataclass(frozen=True, eq=False)
class CancelledEvents:
    """`AsOf` for events that count at the times t with `known <= t < cancelled_at`."""

    log: EventLog
    """The events, as if none was cancelled."""
    cancelled_at: IntArray
    """When each event's cancellation became known, microseconds: int64[event]; later than the event became known."""
    _ends: dict[int | None, AsOfIndex] = field(default_factory=dict, repr=False)

    @classmethod
    def from_columns(cls, rows: pl.DataFrame) -> CancelledEvents | None:
        """The cancelled events among rows of `event_columns`; None if there are none."""
        if "cancelled_at" not in rows.columns:
            return None
        cancelled = rows.filter(pl.col("cancelled_at") < END_OF_TIME, pl.col("item") >= 0, pl.col("user") >= 0)
        if not len(cancelled):
            return None
        # Sorted as the log sorts them, so that the arrays are aligned; events equal in all else by their end.
        cancelled = cancelled.sort("known", "time", "user", "item", "sign", "cancelled_at")
        return cls(EventLog.from_columns(cancelled), cancelled["cancelled_at"].to_numpy().copy())

    @property
    def last_change(self) -> int:
        """The first microsecond from which on none of these events counts."""
        return int(self.cancelled_at.max(initial=0))

    def n_changes(self, time: int) -> int:
        """See `EventLog.n_changes`."""
        return self.log.n_changes(time) + int(np.count_nonzero(self.cancelled_at <= time))

    def standing(self, time: int) -> EventLog:
        """The events that count at a time."""
        rows = np.flatnonzero((self.log.known <= time) & (self.cancelled_at > time))
        return self.log.rows(rows)

    def past(self, users: IntArray, times: IntArray, limit: int | None = None) -> Past:
        """See `AsOf.past`."""
        events = self.log.by_user.last(users, times)
        counts = self.cancelled_at[events.values] > times[events.row_index]
        lengths = np.bincount(events.row_index[counts], minlength=len(users))
        # The limit comes last: it is one of events that count.
        return self.log.past_of(Ragged.from_lengths(events.values[counts], lengths).newest(limit))

    def seen(self, users: IntArray, times: IntArray) -> Ragged:
        """See `AsOf.seen`."""
        return self.past(users, times).items

    def user_counts(self, users: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.user_counts`."""
        newest = self.past(users, times, 1)
        happened = np.zeros(len(users), np.int64)
        happened[newest.items.row_index] = newest.times
        return self.log.by_user.counts(users, times) - self._by_user_end.counts(users, times), happened

    def item_counts(self, items: IntArray, times: IntArray, windows: Sequence[int]) -> list[IntArray]:
        """See `AsOf.item_counts`."""
        known = self.log.by_item.counts(items, times)
        return [known - self._by_item_end(window).counts(items, times) for window in (None, *windows)]

    def item_firsts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.item_firsts`."""
        known = np.full(len(items), END_OF_TIME)
        happened = np.full(len(items), END_OF_TIME)
        by_item = self.log.by_item
        # The first event that counts comes right after the longest prefix of which all is cancelled.
        place = by_item.starts(items) + self._by_prefix_end.counts(items, times)
        has_event = place < by_item.ends(items, times)
        first = by_item.order[place[has_event]]
        known[has_event] = self.log.known[first]
        happened[has_event] = self.log.times[first]
        return known, happened

    def item_lasts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.item_lasts`."""
        known = np.full(len(items), START_OF_TIME)
        happened = np.full(len(items), START_OF_TIME)
        by_time = self._by_item_and_time
        # An event becomes known after it happened, so none from its item's end on counts.
        place = by_time.ends(items, times) - 1
        searching = np.flatnonzero(self.item_counts(items, times, ())[0] > 0)
        # Each of these items has an event that counts: step back over those not yet known, or cancelled already.
        while len(searching):
            event = by_time.order[place[searching]]
            counts = (self.log.known[event] <= times[searching]) & (times[searching] < self.cancelled_at[event])
            found = searching[counts]
            known[found] = self.log.known[event[counts]]
            happened[found] = self.log.times[event[counts]]
            searching = searching[~counts]
            place[searching] -= 1
        return known, happened

    def _by_item_end(self, window: int | None) -> AsOfIndex:
        """Events by item and by when they stop counting: when cancelled, or when they leave the window before that."""
        if window not in self._ends:
            ends = self.cancelled_at
            if window is not None:
                ends = np.minimum(ends, self.log.known + window)
            self._ends[window] = AsOfIndex(self.log.item_rows, ends)
        return self._ends[window]

    @cached_property
    def _by_user_end(self) -> AsOfIndex:
        """Events by user and by when they are cancelled."""
        return AsOfIndex(self.log.user_rows, self.cancelled_at)

    @cached_property
    def _by_item_and_time(self) -> AsOfIndex:
        """Events by item and by when they happened; the log's order, by when they became known, breaks ties."""
        return AsOfIndex(self.log.item_rows, known_at(self.log.times))

    @cached_property
    def _by_prefix_end(self) -> AsOfIndex:
        """Events by item and by when they, and all of the item that became known before them, are cancelled.

        As of t, the number of an item's rows is the length of the longest prefix of which all is cancelled.
        """
        order = self.log.by_item.order
        items = self.log.item_rows[order]
        distinct_ends, end_rank = np.unique(self.cancelled_at[order], return_inverse=True)
        # The latest end so far within the item. Items ascend, so a running maximum of (item, rank) never reaches back
        # into another item.
        first_rank_of_item = items * len(distinct_ends)
        latest_rank = np.maximum.accumulate(first_rank_of_item + end_rank.reshape(-1)) - first_rank_of_item
        return AsOfIndex(items, distinct_ends[latest_rank])
