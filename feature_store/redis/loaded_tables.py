"""The tables as a process has loaded them, without the events that the server knows to be cancelled since."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store.arrays import IntArray
from feature_store.point_in_time.event_log import EventLog
from feature_store.point_in_time.online_log import OnlineLog
from feature_store.ragged import Ragged
from feature_store.redis.event_rows import event_rows
from feature_store.signals import SignalConfig


@dataclass(frozen=True, eq=False)
class LoadedTables:
    """A process's log together with its events; users of the log by row, items by id."""

    log: EventLog | OnlineLog
    events: pl.DataFrame
    """Checked rows of the events table."""
    items: pl.Series
    """The ids of the catalogue."""
    item_rows: Callable[[pl.Series], IntArray]
    """Maps item ids to item rows."""
    signals: SignalConfig

    def seen(self, ids: pl.Series, users: IntArray, times: IntArray, cancelled: Sequence[frozenset[bytes]]) -> Ragged:
        """Item rows of all events of user `users[n]` as of `times[n]`, except those with an identity in `cancelled[n]`.

        `ids` are the user ids in row order. Events are compared by identity, so that an event that was cancelled and
        sent again under a new id counts, however similar the two are.
        """
        has_cancelled = np.array([bool(identities) for identities in cancelled], bool) & (users >= 0)
        from_log = self.log.seen(np.where(has_cancelled, -1, users), times)
        if not has_cancelled.any():
            return from_log
        # The log has no identities, so these queries are answered from the events.
        queries = np.flatnonzero(has_cancelled)
        query_users = ids.gather(users[queries])
        events = self.events.filter(pl.col("user_id").is_in(query_users.unique().implode()))
        rows = event_rows(events, self.items, self.signals).filter(pl.col("target").is_null())
        by_user = rows.partition_by("user", as_dict=True)
        from_events = {}
        for query, user in zip(queries.tolist(), query_users.cast(pl.String).to_list(), strict=True):
            user_rows = by_user.get((user,), rows[:0])
            from_events[query] = self._items_of(user_rows, int(times[query]), cancelled[query])
        return Ragged.from_lists([from_events.get(query, from_log.row(query)) for query in range(len(users))])

    def _items_of(self, rows: pl.DataFrame, time: int, cancelled: frozenset[bytes]) -> IntArray:
        """Item rows of one user's events that count at a time."""
        counting = rows.filter(pl.col("known") <= time, pl.col("cancelled_at") > time)
        is_valid = [identity not in cancelled for identity in counting["identity"].to_list()]
        return self.item_rows(counting["item"].filter(pl.Series(is_valid, dtype=pl.Boolean)))
