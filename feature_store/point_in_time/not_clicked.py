"""Items that were shown to a user and not clicked, as of a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store.arrays import BoolArray, IntArray
from feature_store.point_in_time.as_of_join import AsOfIndex, known_at
from feature_store.point_in_time.event_log import rows_of
from feature_store.ragged import Ragged

ROWS_READ = 1000
"""How many rows of a user's impressions are read for a query: the newest."""


@dataclass(frozen=True, eq=False)
class NotClicked:
    """The impressions of each user, by when they became known. The arrays have one entry per row."""

    index: AsOfIndex
    items: IntArray
    times: IntArray
    """Microseconds."""
    is_clicked: BoolArray

    @classmethod
    def of(cls, impressions: pl.DataFrame, users: pl.Series, items: pl.Series) -> NotClicked:
        """The index of a store's `impressions` table, which may be empty; items outside `items` are left out."""
        user_rows = rows_of(impressions["user_id"].cast(users.dtype), users).to_numpy()
        item_rows = rows_of(impressions["item_id"], items).to_numpy()
        kept = (user_rows >= 0) & (item_rows >= 0)
        times = impressions["timestamp"].dt.epoch("us").to_numpy()[kept]
        is_clicked: BoolArray = impressions["label"].to_numpy()[kept] > 0
        return cls(AsOfIndex(user_rows[kept], known_at(times)), item_rows[kept], times, is_clicked)

    def newest(self, users: IntArray, times: IntArray, n_items: int, taken: Ragged) -> tuple[Ragged, IntArray]:
        """The last `n_items` items that each user was shown before its time and has not clicked; the newest last.

        An item that was clicked in another impression, or is among the item rows `taken[query]`, is left out. One that
        was shown often counts once, as of the last time. Second: when each was shown last, microseconds. A user row of
        -1 has none.
        """
        rows = self.index.last(users, times, ROWS_READ)
        stride = 1 + max(self.items.max(initial=0), taken.values.max(initial=0))
        pair = rows.row_index * stride + self.items[rows.values]
        wanted_not = np.concatenate([pair[self.is_clicked[rows.values]], taken.row_index * stride + taken.values])
        is_last = np.zeros(len(pair), bool)
        _, from_the_end = np.unique(pair[::-1], return_index=True)
        is_last[len(pair) - 1 - from_the_end] = True
        kept = np.flatnonzero(is_last & ~np.isin(pair, wanted_not))
        shown = Ragged.from_lengths(rows.values[kept], np.bincount(rows.row_index[kept], minlength=len(users)))
        newest = shown.newest_places(n_items)
        chosen = shown.values[newest.values]
        return Ragged(self.items[chosen], newest.offsets), self.times[chosen]
