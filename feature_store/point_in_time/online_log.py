"""A log that grows while it is read: a large part that stays, a small tail of newer events, and what was cancelled.

Every read equals, to the bit, that of one log of all the events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl

from feature_store.arrays import IntArray
from feature_store.cancellations import has_cancellations
from feature_store.point_in_time.cancelled_events import CancelledEvents
from feature_store.point_in_time.event_log import EventLog, event_columns, rows_of
from feature_store.point_in_time.log_clock import log_clock
from feature_store.point_in_time.read_protocol import AsOf, Past
from feature_store.ragged import Ragged
from feature_store.signals import SignalConfig

LONGEST_TAIL = 20_000
"""Events of a tail; a longer one is better built into the large part."""


@dataclass(frozen=True, eq=False)
class OnlineLog:
    """Logs that are read as one. Rows of users and items mean the same in all."""

    base: EventLog
    tail: EventLog
    users: pl.Series
    """User ids, in row order; users who are new since the base was built come last."""
    cancelled: CancelledEvents | None = None
    """Events that were cancelled; None if there are none."""

    def grown(self, events: EventLog, users: pl.Series) -> OnlineLog:
        """This log with more events, and the users as they are now. It costs what merging with the tail costs."""
        return replace(self, tail=merged(self.tail, events), users=users)

    def __len__(self) -> int:
        return len(self.base) + len(self.tail)

    @cached_property
    def whole(self) -> EventLog:
        """All events that are not cancelled, as one log."""
        return merged(self.base, self.tail)

    @property
    def _parts(self) -> tuple[AsOf, ...]:
        return (self.base, self.tail) if self.cancelled is None else (self.base, self.tail, self.cancelled)

    @cached_property
    def _ranks(self) -> IntArray:
        """The place of each user among all users sorted by id: int64[user]."""
        ranks: IntArray = self.users.arg_sort().arg_sort().cast(pl.Int64).to_numpy()
        return ranks

    @cached_property
    def _by_id(self) -> EventLog:
        return self._numbered_by_id(self.whole)

    def _numbered_by_id(self, log: EventLog) -> EventLog:
        # Merging sorts the events anew, since user rows break ties.
        return merged(replace(log, user_rows=self._ranks[log.user_rows]), empty_log())

    @cached_property
    def clock(self) -> int:
        """See `EventLog.clock`."""
        changes = [self.base.known, self.tail.known]
        last = max(int(known[-1]) if len(known) else 0 for known in changes)
        if self.cancelled is not None:
            changes += [self.cancelled.log.known, self.cancelled.cancelled_at]
            last = max(last, self.cancelled.last_change)
        return log_clock(last, *changes)

    def n_changes(self, time: int) -> int:
        """See `EventLog.n_changes`."""
        n_cancelled = 0 if self.cancelled is None else self.cancelled.n_changes(time)
        return self.base.n_changes(time) + self.tail.n_changes(time) + n_cancelled

    def until(self, time: int) -> EventLog:
        """See `EventLog.until`; user rows are numbered by id, as a single log of all the events would number them."""
        known = self._by_id.until(time)
        if self.cancelled is None:
            return known
        return merged(known, self._numbered_by_id(self.cancelled.standing(time)))

    def past(self, users: IntArray, times: IntArray, limit: int | None = None) -> Past:
        """See `AsOf.past`."""
        parts = [part.past(users, times, limit) for part in self._parts]
        # [event] of all parts; each part has a row for every query.
        query = np.concatenate([part.items.row_index for part in parts])
        items = np.concatenate([part.items.values for part in parts])
        happened = np.concatenate([part.times for part in parts])
        known = np.concatenate([part.known for part in parts])
        signs = np.concatenate([part.signs for part in parts])
        # By query, and within it in the order of a log: each part may hold some of the newest.
        order = np.lexsort((signs, items, happened, known, query))
        events = Ragged.from_lengths(order, np.bincount(query, minlength=len(users))).newest(limit)
        places = events.values
        return Past(Ragged(items[places], events.offsets), happened[places], known[places], signs[places])

    def seen(self, users: IntArray, times: IntArray) -> Ragged:
        """See `AsOf.seen`."""
        return self.past(users, times).items

    def user_counts(self, users: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.user_counts`."""
        counts = [part.user_counts(users, times)[0] for part in self._parts]
        newest = self.past(users, times, 1)
        happened = np.zeros(len(users), np.int64)
        happened[newest.items.row_index] = newest.times
        return np.sum(counts, axis=0), happened

    def item_counts(self, items: IntArray, times: IntArray, windows: Sequence[int]) -> list[IntArray]:
        """See `AsOf.item_counts`."""
        parts = [part.item_counts(items, times, windows) for part in self._parts]
        return [np.sum(counts, axis=0) for counts in zip(*parts, strict=True)]

    def item_firsts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.item_firsts`."""
        (known, happened), *others = (part.item_firsts(items, times) for part in self._parts)
        for part_known, part_happened in others:
            is_earlier = (part_known < known) | ((part_known == known) & (part_happened < happened))
            known = np.where(is_earlier, part_known, known)
            happened = np.where(is_earlier, part_happened, happened)
        return known, happened

    def item_lasts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.item_lasts`."""
        (known, happened), *others = (part.item_lasts(items, times) for part in self._parts)
        for part_known, part_happened in others:
            is_later = (part_happened > happened) | ((part_happened == happened) & (part_known > known))
            known = np.where(is_later, part_known, known)
            happened = np.where(is_later, part_happened, happened)
        return known, happened


def log_of(events: pl.DataFrame, users: pl.Series, items: pl.Series, signals: SignalConfig) -> EventLog | OnlineLog:
    """The log of a store's `events` table: an `EventLog`, unless events were cancelled.

    `users` and `items` are the ids in row order.
    """
    log = EventLog.from_frame(events, users, items, signals)
    if not has_cancellations(events):
        return log
    user_rows = rows_of(events["user_id"], users)
    item_rows = rows_of(events["item_id"], items)
    columns = event_columns(events, user_rows.to_numpy(), item_rows.to_numpy(), signals)
    cancelled = CancelledEvents.from_columns(columns)
    return log if cancelled is None else OnlineLog(log, empty_log(), users, cancelled)


def merged(first: EventLog, second: EventLog) -> EventLog:
    """All events of both logs, in the order of a log."""
    user_rows = np.concatenate([first.user_rows, second.user_rows])
    item_rows = np.concatenate([first.item_rows, second.item_rows])
    times = np.concatenate([first.times, second.times])
    known = np.concatenate([first.known, second.known])
    signs = np.concatenate([first.signs, second.signs])
    # The last key is the first to sort by: the order of `EventLog.from_columns`.
    order = np.lexsort((signs, item_rows, user_rows, times, known))
    return EventLog(
        user_rows=user_rows[order],
        item_rows=item_rows[order],
        times=times[order],
        known=known[order],
        signs=signs[order],
        n_unknown_items=first.n_unknown_items + second.n_unknown_items,
    )


def empty_log() -> EventLog:
    """A log without events."""
    no_rows = np.empty(0, np.int64)
    return EventLog(no_rows, no_rows, no_rows, no_rows, np.empty(0, np.int8))
