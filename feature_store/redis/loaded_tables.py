"""The tables as a process has loaded them, without what the server says was taken back since."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store.arrays import IntArray
from feature_store.point_in_time.event_log import EventLog
from feature_store.point_in_time.online_log import OnlineLog
from feature_store.ragged import Ragged
from feature_store.redis.rows import event_rows
from feature_store.signals import SignalConfig


@dataclass(frozen=True, eq=False)
class Loaded:
    """The log of some events, and these; users of the log by row, items by id."""

    log: EventLog | OnlineLog
    events: pl.DataFrame
    """Checked rows of the events table."""
    items: pl.Series
    """The ids of the catalogue."""
    item_rows: Callable[[pl.Series], IntArray]
    """The rows of item ids."""
    signals: SignalConfig

    def seen(self, ids: pl.Series, users: IntArray, times: IntArray, taken_back: Sequence[frozenset[bytes]]) -> Ragged:
        """Item rows of user `users[n]` as of `times[n]`, but of no event of `taken_back[n]`; `ids` are in row order.

        Events are told apart by their identities: one that was sent anew stands, however like the one before it is.
        """
        has_gone = np.array([bool(gone) for gone in taken_back], bool) & (users >= 0)
        others = self.log.seen(np.where(has_gone, -1, users), times)
        if not has_gone.any():
            return others
        asked = np.flatnonzero(has_gone)
        theirs = ids.gather(users[asked])
        events = self.events.filter(pl.col("user_id").is_in(theirs.unique().implode()))
        rows = event_rows(events, self.items, self.signals).filter(pl.col("target").is_null())
        by_user = rows.partition_by("user", as_dict=True)
        found = {
            query: self._standing(by_user.get((user,), rows[:0]), int(times[query]), taken_back[query])
            for query, user in zip(asked.tolist(), theirs.cast(pl.String).to_list(), strict=True)
        }
        return Ragged.from_lists([found.get(query, others.row(query)) for query in range(len(users))])

    def _standing(self, rows: pl.DataFrame, time: int, taken_back: frozenset[bytes]) -> IntArray:
        """Rows of the items of one user's events that stand at a time."""
        counts = rows.filter(pl.col("known") <= time, pl.col("gone") > time)
        stands = [identity not in taken_back for identity in counts["identity"].to_list()]
        return self.item_rows(counts["item"].filter(pl.Series(stands, dtype=pl.Boolean)))
