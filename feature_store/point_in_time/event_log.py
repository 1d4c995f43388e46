"""The event log as arrays: events in the order in which they became known, users and items as row numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from feature_store.arrays import Int8Array, IntArray
from feature_store.cancellations import cancellation_times
from feature_store.forked_process import refuse_forked
from feature_store.point_in_time.as_of_join import AsOfIndex, when_known
from feature_store.point_in_time.log_clock import log_clock
from feature_store.point_in_time.read_protocol import END_OF_TIME, START_OF_TIME, Past
from feature_store.ragged import Ragged
from feature_store.signals import SignalConfig

FEW = 1000
"""Fewer ids than this are searched one by one where the known ids are sorted; more are joined."""
VERY_FEW = 4
"""Fewer ids than this are searched without polars, whose calls cost more than the search."""


@dataclass(frozen=True, eq=False)
class EventLog:
    """Events sorted by when they became known; all arrays have one entry per event.

    `from_frame` leaves out events of items that the catalogue lacks, and counts them in `n_unknown_items`. It leaves
    out cancelled events too: `cancelled_events` reads them, as of the times at which they still counted.
    """

    user_rows: IntArray
    """Row of the event's user."""
    item_rows: IntArray
    """Row of the event's item."""
    times: IntArray
    """When it happened, microseconds since 1970 UTC."""
    known: IntArray
    """From when on it may be used: see `as_of_join.known_at`."""
    signs: Int8Array
    """+1 positive, 0 neutral, -1 negative."""
    n_unknown_items: int = 0
    """Events left out because their item is not in the catalogue."""

    @classmethod
    def from_frame(cls, events: pl.DataFrame, users: pl.Series, items: pl.Series, signals: SignalConfig) -> EventLog:
        """The log of a store's `events` table; `users` and `items` are the ids in row order.

        The order of the frame's rows does not matter: the same events give the same log.
        """
        refuse_forked()
        user_rows = rows_of(events["user_id"], users)
        item_rows = rows_of(events["item_id"], items)
        return cls.from_rows(events, user_rows.to_numpy(), item_rows.to_numpy(), signals)

    @classmethod
    def from_rows(cls, events: pl.DataFrame, users: IntArray, items: IntArray, signals: SignalConfig) -> EventLog:
        """The log of events whose user and item rows are known already; -1 for events to leave out."""
        rows = event_columns(events, users, items, signals)
        if "cancelled_at" in rows.columns:
            rows = rows.filter(pl.col("cancelled_at") == END_OF_TIME)
        return cls.from_columns(rows)

    @classmethod
    def from_columns(cls, rows: pl.DataFrame) -> EventLog:
        """The log of rows of `event_columns`."""
        known_items = rows.filter(pl.col("item") >= 0, pl.col("user") >= 0)
        ordered = known_items.sort("known", "time", "user", "item", "sign")
        return cls(
            user_rows=ordered["user"].to_numpy().copy(),
            item_rows=ordered["item"].to_numpy().copy(),
            times=ordered["time"].to_numpy().copy(),
            known=ordered["known"].to_numpy().copy(),
            signs=ordered["sign"].to_numpy().copy(),
            n_unknown_items=len(rows) - len(known_items),
        )

    def __len__(self) -> int:
        return len(self.times)

    @cached_property
    def by_user(self) -> AsOfIndex:
        """Events by user, for histories."""
        return AsOfIndex(self.user_rows, self.known)

    @cached_property
    def by_item(self) -> AsOfIndex:
        """Events by item, for counters."""
        return AsOfIndex(self.item_rows, self.known)

    def past(self, users: IntArray, times: IntArray, limit: int | None = None) -> Past:
        """See `AsOf.past`."""
        return self.past_of(self.by_user.last(users, times, limit))

    def past_of(self, events: Ragged) -> Past:
        """The given events: places in the log, those known first in front in each row."""
        places = events.values
        items = Ragged(self.item_rows[places], events.offsets)
        return Past(items, self.times[places], self.known[places], self.signs[places])

    def seen(self, users: IntArray, times: IntArray) -> Ragged:
        """See `AsOf.seen`."""
        return self.past(users, times).items

    def user_counts(self, users: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.user_counts`."""
        ends = self.by_user.ends(users, times)
        count = ends - self.by_user.starts(users)
        happened = np.zeros(len(users), np.int64)
        happened[count > 0] = self.times[self.by_user.order[ends[count > 0] - 1]]
        return count, happened

    def item_counts(self, items: IntArray, times: IntArray, windows: Sequence[int]) -> list[IntArray]:
        """See `AsOf.item_counts`."""
        ends = self.by_item.ends(items, times)
        in_windows = [ends - self.by_item.ends(items, times - window) for window in windows]
        return [ends - self.by_item.starts(items), *in_windows]

    def item_firsts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.item_firsts`; none of these events is cancelled, so an item's first is the same at all times."""
        del times
        known = np.full(len(items), END_OF_TIME)
        happened = np.full(len(items), END_OF_TIME)
        starts = self.by_item.starts(items)
        has_event = self.by_item.starts(items + 1) > starts
        first = self.by_item.order[starts[has_event]]
        known[has_event] = self.known[first]
        happened[has_event] = self.times[first]
        return known, happened

    def item_lasts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.item_lasts`."""
        known = np.full(len(items), START_OF_TIME)
        happened = np.full(len(items), START_OF_TIME)
        ends = self.by_item.ends(items, times)
        has_event = ends > self.by_item.starts(items)
        newest = self._newest_so_far[ends[has_event] - 1]
        known[has_event] = self.known[newest]
        happened[has_event] = self.times[newest]
        return known, happened

    @cached_property
    def _newest_so_far(self) -> IntArray:
        """For each place of `by_item.order`: which event happened last, of the item's events up to there."""
        order = self.by_item.order
        distinct_times, time_rank = np.unique(self.times[order], return_inverse=True)
        # Items ascend in `order`, so a running maximum of (item, time) never reaches back into another item.
        item_and_time = self.item_rows[order] * len(distinct_times) + time_rank.reshape(-1)
        is_newest = item_and_time == np.maximum.accumulate(item_and_time)
        place_of_newest = np.maximum.accumulate(np.where(is_newest, np.arange(len(order)), 0))
        return order[place_of_newest]

    def n_changes(self, time: int) -> int:
        """How often what is known had changed by a time: equal numbers mean equal logs."""
        return int(np.searchsorted(self.known, time, side="right"))

    def until(self, time: int) -> EventLog:
        """The log as it was known at `time` (microseconds)."""
        return self.rows(slice(self.n_changes(time)))

    def rows(self, places: IntArray | slice) -> EventLog:
        """The events at the given places, which ascend."""
        return EventLog(
            user_rows=self.user_rows[places],
            item_rows=self.item_rows[places],
            times=self.times[places],
            known=self.known[places],
            signs=self.signs[places],
        )

    @cached_property
    def clock(self) -> int:
        """The first microsecond at which all of the log is known, but for dates too far ahead: `log_clock`."""
        return log_clock(int(self.known[-1]), self.known) if len(self) else 0


def event_columns(events: pl.DataFrame, users: IntArray, items: IntArray, signals: SignalConfig) -> pl.DataFrame:
    """user, item, time, known and sign of each event that ever counts, in the order of the table.

    If the table holds cancellations, also `cancelled_at`, from when on the event no longer counts.
    """
    rows = events.select(
        user=pl.Series(users),
        item=pl.Series(items),
        time=pl.col("timestamp").dt.epoch("us"),
        known=when_known(),
        sign=pl.Series(signals.signs(events), dtype=pl.Int8),
    )
    cancelled_at = cancellation_times(events)
    if cancelled_at is None:
        return rows
    # This leaves out cancellations themselves, and events whose cancellation was known before them.
    return rows.with_columns(cancelled_at=pl.Series(cancelled_at)).filter(pl.col("cancelled_at") > pl.col("known"))


def rows_of(ids: pl.Series, known_ids: pl.Series) -> pl.Series:
    """The row of each id among `known_ids`, -1 where it is not there: Int64. Ids of another type are cast."""
    wanted = ids if ids.dtype == known_ids.dtype else ids.cast(known_ids.dtype, strict=False)
    is_sorted = len(known_ids) > 0 and known_ids.flags["SORTED_ASC"]
    if len(ids) < VERY_FEW and is_sorted and not known_ids.null_count():
        return pl.Series([_row_of(wanted_id, known_ids) for wanted_id in wanted.to_list()], dtype=pl.Int64)
    if len(ids) < FEW and is_sorted:
        place = np.minimum(known_ids.search_sorted(wanted).to_numpy(), len(known_ids) - 1).astype(np.int64)
        found = zip(known_ids.gather(place).to_list(), wanted.to_list(), strict=True)
        is_same = [known_id is not None and known_id == wanted_id for known_id, wanted_id in found]
        return pl.Series(np.where(is_same, place, -1))
    table = pl.DataFrame({"id": known_ids, "row": pl.Series(range(len(known_ids)), dtype=pl.Int64)})
    joined = pl.DataFrame({"id": wanted}).join(table, on="id", how="left", maintain_order="left")
    return joined["row"].fill_null(-1)


def _row_of(wanted_id: Any, known_ids: pl.Series) -> int:
    place = len(known_ids) if wanted_id is None else bisect_left(known_ids, wanted_id)
    return place if place < len(known_ids) and known_ids[place] == wanted_id else -1
