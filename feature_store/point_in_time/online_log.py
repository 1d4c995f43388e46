"""A log that grows while it is read: a large part that stays, a small tail of what has come since, what was cancelled.

Every read gives to the bit what one log of all the events would give; `tests/feature_store/point_in_time/test_online_log.py` holds it to
that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl

from feature_store.arrays import IntArray
from feature_store.cancellations import has_cancellations
from feature_store.point_in_time.as_of_reads import AsOf, Past
from feature_store.point_in_time.cancelled_events import CancelledEvents
from feature_store.point_in_time.event_log import EventLog, SignalConfig, event_columns, rows_of
from feature_store.ragged import Ragged

LONGEST_TAIL = 20_000
"""Events of a tail; a longer one belongs into the large part."""


@dataclass(frozen=True, eq=False)
class OnlineLog:
    """Logs that are read as one. Rows of users and items mean the same in all."""

    base: EventLog
    tail: EventLog
    users: pl.Series
    """User ids, in row order; those who are new since stand at the end."""
    cancelled: CancelledEvents | None = None
    """Events that were taken back; None where none was."""

    def grown(self, events: EventLog, users: pl.Series) -> OnlineLog:
        """With these events too, and the users as they are now; the cost is that of the tail."""
        return replace(self, tail=merged(self.tail, events), users=users)

    def __len__(self) -> int:
        return len(self.base) + len(self.tail)

    @cached_property
    def whole(self) -> EventLog:
        """All events that stand, as one log."""
        return merged(self.base, self.tail)

    @property
    def _parts(self) -> tuple[AsOf, ...]:
        return (self.base, self.tail) if self.cancelled is None else (self.base, self.tail, self.cancelled)

    @cached_property
    def _ranks(self) -> IntArray:
        ranks: IntArray = self.users.arg_sort().arg_sort().cast(pl.Int64).to_numpy()
        return ranks

    @cached_property
    def _by_id(self) -> EventLog:
        return self._numbered(self.whole)

    def _numbered(self, log: EventLog) -> EventLog:
        return merged(replace(log, user_rows=self._ranks[log.user_rows]), empty_log())

    @property
    def clock(self) -> int:
        """See `EventLog.clock`."""
        return max(self.base.clock, self.tail.clock, 0 if self.cancelled is None else self.cancelled.clock)

    def n_changes(self, time: int) -> int:
        """See `EventLog.n_changes`."""
        n_cancelled = 0 if self.cancelled is None else self.cancelled.n_changes(time)
        return self.base.n_changes(time) + self.tail.n_changes(time) + n_cancelled

    def until(self, time: int) -> EventLog:
        """See `EventLog.until`; its user rows are numbered by id, as a log of all the events would number them."""
        known = self._by_id.until(time)
        return known if self.cancelled is None else merged(known, self._numbered(self.cancelled.standing(time)))

    def past(self, users: IntArray, times: IntArray, limit: int | None = None) -> Past:
        """See `AsOf.past`."""
        parts = [part.past(users, times, limit) for part in self._parts]
        query = np.concatenate([part.items.row_index for part in parts])
        items, at, known, signs = (
            np.concatenate(columns)
            for columns in zip(*((p.items.values, p.times, p.known, p.signs) for p in parts), strict=True)
        )
        order = np.lexsort((signs, items, at, known, query))
        together = Ragged.from_lengths(order, np.bincount(query, minlength=len(users))).newest(limit)
        rows = together.values
        return Past(Ragged(items[rows], together.offsets), at[rows], known[rows], signs[rows])

    def seen(self, users: IntArray, times: IntArray) -> Ragged:
        """See `AsOf.seen`."""
        return self.past(users, times).items

    def user_counts(self, users: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.user_counts`."""
        counts = [part.user_counts(users, times)[0] for part in self._parts]
        newest = self.past(users, times, 1)
        when = np.zeros(len(users), np.int64)
        when[newest.items.row_index] = newest.times
        return np.sum(counts, axis=0), when

    def item_counts(self, items: IntArray, times: IntArray, windows: Sequence[int]) -> list[IntArray]:
        """See `AsOf.item_counts`."""
        parts = [part.item_counts(items, times, windows) for part in self._parts]
        return [np.sum(counts, axis=0) for counts in zip(*parts, strict=True)]

    def item_firsts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.item_firsts`."""
        (known, happened), *others = (part.item_firsts(items, times) for part in self._parts)
        for other_known, other_happened in others:
            earlier = (other_known < known) | ((other_known == known) & (other_happened < happened))
            known, happened = np.where(earlier, other_known, known), np.where(earlier, other_happened, happened)
        return known, happened

    def item_lasts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.item_lasts`."""
        (known, happened), *others = (part.item_lasts(items, times) for part in self._parts)
        for other_known, other_happened in others:
            later = (other_happened > happened) | ((other_happened == happened) & (other_known > known))
            known = np.where(later, other_known, known)
            happened = np.where(later, other_happened, happened)
        return known, happened


def log_of(events: pl.DataFrame, users: pl.Series, items: pl.Series, signals: SignalConfig) -> EventLog | OnlineLog:
    """The log of a store's `events` table: in one piece, unless events were taken back.

    `users` and `items` are the ids in row order.
    """
    log = EventLog.from_frame(events, users, items, signals)
    if not has_cancellations(events):
        return log
    user_rows, item_rows = rows_of(events["user_id"], users), rows_of(events["item_id"], items)
    columns = event_columns(events, user_rows.to_numpy(), item_rows.to_numpy(), signals)
    cancelled = CancelledEvents.from_columns(columns)
    return log if cancelled is None else OnlineLog(log, empty_log(), users, cancelled)


def merged(one: EventLog, other: EventLog) -> EventLog:
    """All events of both, in the order of a log."""
    names = ("user_rows", "item_rows", "times", "known", "signs")
    columns = {name: np.concatenate([getattr(one, name), getattr(other, name)]) for name in names}
    order = np.lexsort(tuple(columns[name] for name in ("signs", "item_rows", "user_rows", "times", "known")))
    n_unknown = one.n_unknown_items + other.n_unknown_items
    return EventLog(**{name: column[order] for name, column in columns.items()}, n_unknown_items=n_unknown)


def empty_log() -> EventLog:
    """A log without events."""
    nothing = np.empty(0, np.int64)
    return EventLog(nothing, nothing, nothing, nothing, np.empty(0, np.int8))
