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
        """The index of a store's `impressions` table, which may be empty; items outside `items` are left out.

        Of what was shown at one time, the first positions count as the newest: they were looked at the most.
        """
        user_rows = rows_of(impressions["user_id"].cast(users.dtype), users).to_numpy()
        item_rows = rows_of(impressions["item_id"], items).to_numpy()
        times = impressions["timestamp"].dt.epoch("us").to_numpy()
        is_clicked = impressions["label"].to_numpy() > 0
        # By content, so that the order of the table's rows does not matter.
        order = np.lexsort([item_rows, -_positions(impressions), times])
        kept = order[(user_rows[order] >= 0) & (item_rows[order] >= 0)]
        index = AsOfIndex(user_rows[kept], known_at(times[kept]))
        return cls(index, item_rows[kept], times[kept], is_clicked[kept])

    def newest(self, users: IntArray, times: IntArray, n_items: int, taken: Ragged) -> tuple[Ragged, IntArray]:
        """The last `n_items` items that each user was shown before its time and has not clicked; the newest last.

        They are looked for in the newest `ROWS_READ` rows of each user. An item that was clicked in one of these, or is
        among the item rows `taken[query]`, is left out. One that was shown often counts once, as of the last time.
        Second: when each was shown last, microseconds. A user row of -1 has none.
        """
        rows = self.index.last(users, times, ROWS_READ)
        # A query and an item as one number.
        stride = 1 + max(self.items.max(initial=0), taken.values.max(initial=0))
        shown = rows.row_index * stride + self.items[rows.values]
        clicked = shown[self.is_clicked[rows.values]]
        left_out = np.concatenate([clicked, taken.row_index * stride + taken.values])
        kept = np.flatnonzero(_is_last(shown) & ~np.isin(shown, left_out))
        remaining = Ragged.from_lengths(rows.values[kept], np.bincount(rows.row_index[kept], minlength=len(users)))
        places = remaining.newest_places(n_items)
        chosen = remaining.values[places.values]
        return Ragged(self.items[chosen], places.offsets), self.times[chosen]


def _positions(impressions: pl.DataFrame) -> IntArray:
    """The position of each row, one after all others where it is unknown: int64[row]."""
    if "position" not in impressions.columns:
        return np.zeros(len(impressions), np.int64)
    positions = impressions["position"].cast(pl.Int64)
    return positions.fill_null(np.iinfo(np.int64).max).to_numpy()


def _is_last(values: IntArray) -> BoolArray:
    """Whether no later value is the same: bool[value]."""
    is_last = np.zeros(len(values), bool)
    _, from_the_end = np.unique(values[::-1], return_index=True)
    is_last[len(values) - 1 - from_the_end] = True
    return is_last
