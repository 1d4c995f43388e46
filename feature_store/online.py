"""A log that grows while it is read: a large part that stays, and a small tail of what has come since.

Every read gives to the bit what one log of all the events would give; `tests/feature_store/test_online.py` holds it to
that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl

from feature_store.log import EventLog
from feature_store.point_in_time import IntArray
from feature_store.ragged import Ragged
from feature_store.reads import Past

LONGEST_TAIL = 20_000
"""Events of a tail; a longer one belongs into the large part."""


@dataclass(frozen=True, eq=False)
class OnlineLog:
    """Two logs that are read as one. Rows of users and items mean the same in both."""

    base: EventLog
    tail: EventLog
    users: pl.Series
    """User ids, in row order; those who are new since stand at the end."""

    def grown(self, events: EventLog, users: pl.Series) -> OnlineLog:
        """With these events too, and the users as they are now; the cost is that of the tail."""
        return OnlineLog(self.base, merged(self.tail, events), users)

    def __len__(self) -> int:
        return len(self.base) + len(self.tail)

    @cached_property
    def whole(self) -> EventLog:
        """All events as one log."""
        return merged(self.base, self.tail)

    @cached_property
    def _by_id(self) -> EventLog:
        ranks = self.users.arg_sort().arg_sort().cast(pl.Int64).to_numpy()
        return merged(replace(self.whole, user_rows=ranks[self.whole.user_rows]), empty_log())

    @property
    def clock(self) -> int:
        """See `EventLog.clock`."""
        return max(self.base.clock, self.tail.clock)

    def n_known(self, time: int) -> int:
        """See `EventLog.n_known`."""
        return self.base.n_known(time) + self.tail.n_known(time)

    def until(self, time: int) -> EventLog:
        """See `EventLog.until`; its user rows are numbered by id, as a log of all the events would number them."""
        return self._by_id.until(time)

    def past(self, users: IntArray, times: IntArray, limit: int | None = None) -> Past:
        """See `AsOf.past`."""
        parts = [part.past(users, times, limit) for part in (self.base, self.tail)]
        query = np.concatenate([part.items.row_index for part in parts])
        items, at, known, signs = (
            np.concatenate(columns)
            for columns in zip(*((p.items.values, p.times, p.known, p.signs) for p in parts), strict=True)
        )
        order = np.lexsort((signs, items, at, known, query))
        together = Ragged.from_lengths(order, np.bincount(query, minlength=len(users)))
        if limit is not None:
            ends = together.offsets[1:]
            kept = Ragged.from_ranges(np.maximum(together.offsets[:-1], ends - limit), ends)
            together = Ragged(together.values[kept.values], kept.offsets)
        rows = together.values
        return Past(Ragged(items[rows], together.offsets), at[rows], known[rows], signs[rows])

    def seen(self, users: IntArray, times: IntArray) -> Ragged:
        """See `AsOf.seen`."""
        return self.past(users, times).items

    def user_counts(self, users: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.user_counts`."""
        counts = [part.user_counts(users, times)[0] for part in (self.base, self.tail)]
        newest = self.past(users, times, 1)
        when = np.zeros(len(users), np.int64)
        when[newest.items.row_index] = newest.times
        return counts[0] + counts[1], when

    def item_counts(self, items: IntArray, times: IntArray, windows: Sequence[int]) -> list[IntArray]:
        """See `AsOf.item_counts`."""
        parts = [part.item_counts(items, times, windows) for part in (self.base, self.tail)]
        return [one + other for one, other in zip(*parts, strict=True)]

    def item_firsts(self, items: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.item_firsts`."""
        (known, times), (tail_known, tail_times) = (part.item_firsts(items) for part in (self.base, self.tail))
        is_tail = (tail_known < known) | ((tail_known == known) & (tail_times < times))
        return np.where(is_tail, tail_known, known), np.where(is_tail, tail_times, times)


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
