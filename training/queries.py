"""What the match module learns from: a history, and what the user turned to next.

A user's first basket has no history. There, some of its items are held out and the rest stands in as the memory:
in a log of few large baskets these are most of what there is to learn from. Only training does this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_store import EventLog
from feature_store.arrays import BoolArray, IntArray
from feature_store.point_in_time.cancelled_events import CancelledEvents
from feature_store.ragged import Ragged


@dataclass(frozen=True, eq=False)
class Queries:
    """PastQueries at which a user turned to something new, in order of time."""

    users: IntArray
    """User rows."""
    times: IntArray
    """Microseconds."""
    positives: Ragged
    """Item rows that the user turned to at that moment and had not interacted with before."""

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: IntArray) -> Queries:
        """The given queries, in the given order."""
        return Queries(self.users[rows], self.times[rows], self.positives.take(rows))

    def spread(self, limit: int) -> Queries:
        """At most `limit` queries, evenly spread over time."""
        if len(self) <= limit:
            return self
        return self.take(np.linspace(0, len(self) - 1, limit).astype(np.int64))


def queries_between(
    log: EventLog, begin: int, end: int, *, with_history: bool = True, cancelled: CancelledEvents | None = None
) -> Queries:
    """Queries of all (user, timestamp) with `begin < timestamp <= end` and at least one new positive.

    `with_history` keeps those with at least one earlier event; otherwise the ones without any are returned. What was
    taken back (`cancelled`) was history, and not new, as long as it counted.
    """
    order = np.lexsort((log.item_rows, log.user_rows, log.times))
    inside = order[(log.times[order] > begin) & (log.times[order] <= end) & (log.signs[order] > 0)]
    users, times, items = log.user_rows[inside], log.times[inside], log.item_rows[inside]
    new = _first_times(log)[inside] == times
    warm = log.by_user.counts(users, times) > 0
    if cancelled is not None:
        had = cancelled.seen(users, times)
        warm |= had.lengths > 0
        new[had.row_index[had.values == items[had.row_index]]] = False
    keep = new & (warm if with_history else ~warm)
    first = keep & _differs_from_previous(users, times, items)
    users, times, items = users[first], times[first], items[first]
    starts = np.flatnonzero(_differs_from_previous(users, times))
    return Queries(users[starts], times[starts], Ragged(items, np.append(starts, len(items)).astype(np.int64)))


def _differs_from_previous(*columns: IntArray) -> BoolArray:
    differs = np.zeros(len(columns[0]), bool)
    differs[:1] = True
    for column in columns:
        differs[1:] |= column[1:] != column[:-1]
    return differs


def _first_times(log: EventLog) -> IntArray:
    """For every event, when its user first interacted with its item."""
    pair = log.user_rows * (int(log.item_rows.max(initial=0)) + 1) + log.item_rows
    _, index = np.unique(pair, return_inverse=True)
    first = np.full(int(index.max(initial=-1)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, index, log.times)
    return first[index]
