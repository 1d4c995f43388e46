"""Numeric columns of items as of a time, from a table with a row for each change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store.arrays import Float32Array, IntArray
from feature_store.cancellations import cancellation_times
from feature_store.point_in_time.as_of_join import when_known
from feature_store.point_in_time.event_log import rows_of
from feature_store.point_in_time.newest_rows import NewestRows
from feature_store.point_in_time.read_protocol import END_OF_TIME
from feature_store.schema import ITEM_CHANGES


@dataclass(frozen=True, eq=False)
class _Column:
    """One column: the rows that say something about it, and what each says."""

    rows: NewestRows
    values: Float32Array
    """float32[row of `rows`], and NaN at the end, where `NO_ROW` points."""


@dataclass(frozen=True, eq=False)
class ItemHistory:
    """The columns of items that came with times: what each was as of any time."""

    _columns: Mapping[str, _Column]

    @classmethod
    def of(cls, changes: pl.DataFrame, items: pl.Series) -> ItemHistory:
        """The history of a store's `item_changes` table; rows of items outside `items` are left out.

        The order of the table's rows does not matter.
        """
        own = changes.select(
            "event_id",
            item=rows_of(changes["item_id"], items),
            time=pl.col("timestamp").dt.epoch("us"),
            known=when_known(),
            until=_until(changes),
        )
        # Not those of unknown items, cancellations themselves, and rows whose cancellation was known before them.
        counts = own.with_row_index("row").filter(pl.col("item") >= 0, pl.col("until") > pl.col("known"))
        ordered = counts.sort("item", "time", "known", "event_id")
        keys, times, known, until = (ordered[name].to_numpy() for name in ("item", "time", "known", "until"))
        indexes: dict[bytes, NewestRows] = {}
        columns = {}
        for name in dated_columns(changes):
            cells = changes[name].gather(ordered["row"])
            # A table without the column says nothing about it; an empty cell of one that has it is NaN.
            is_said = cells.is_not_null().to_numpy()
            said_by = is_said.tobytes()
            if said_by not in indexes:
                indexes[said_by] = NewestRows(keys[is_said], times[is_said], known[is_said], until[is_said])
            columns[name] = _Column(indexes[said_by], _float32(cells.drop_nulls()))
        return cls(columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self._columns)

    def values(self, name: str, items: IntArray, times: IntArray) -> Float32Array:
        """A column of item rows as of times (microseconds): float32, one per item.

        The cell of the newest row known then; NaN if it is empty, and before an item's first row.
        """
        column = self._columns[name]
        return column.values[column.rows.at(items, times)]


def dated_columns(changes: pl.DataFrame) -> list[str]:
    """The columns of an `item_changes` table that hold numbers of items."""
    own = ITEM_CHANGES.schema()
    return [name for name in changes.columns if name not in own]


def _until(changes: pl.DataFrame) -> pl.Series:
    """When each row's cancellation became known, microseconds, see `cancellation_times`."""
    # Cancellations of events are of one user's; those of items are of nobody's.
    times = cancellation_times(changes.select("item_id", "timestamp", "available_at", "event_id", "cancels", user_id=0))
    return pl.repeat(END_OF_TIME, len(changes), eager=True) if times is None else pl.Series(times)


def _float32(numbers: pl.Series) -> Float32Array:
    with np.errstate(over="ignore"):
        values = np.append(numbers.to_numpy(), np.nan).astype(np.float32)
    values[~np.isfinite(values)] = np.nan
    return values
