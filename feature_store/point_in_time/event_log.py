"""The event log as arrays: events in the order in which they became known, ids as row numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from feature_store.arrays import Int8Array, IntArray
from feature_store.cancellations import gone_at
from feature_store.point_in_time.as_of_index import AsOfIndex, known_at, when_known
from feature_store.point_in_time.as_of_reads import END_OF_TIME, START_OF_TIME, Past
from feature_store.ragged import Ragged

FEW = 1000
"""So many ids are looked up one by one, where the known ones stand in order; more are joined."""
VERY_FEW = 4
"""So many are looked up without polars, whose every call takes some time however little it is asked."""


@dataclass(frozen=True)
class SignalConfig:
    """Which events count for, against, or neither: what makes a positive."""

    rating_events: tuple[str, ...] = ("rating",)
    """Events whose `value` is an opinion."""
    positive_from: float = 4.0
    """A rating of at least this counts for the item."""
    negative_to: float = 2.0
    """A rating of at most this counts against it; between the two it is neutral."""
    negative_events: tuple[str, ...] = ("skip", "return", "dislike", "hide")
    """Events that count against the item whatever their value."""
    neutral_events: tuple[str, ...] = ()
    """Events that are remembered as seen and count neither way."""

    def __post_init__(self) -> None:
        if self.negative_to >= self.positive_from:
            raise ValueError(
                f"negative_to: expected less than positive_from ({self.positive_from}), got {self.negative_to}. "
                "Leave room for neutral ratings between the two."
            )

    def signs(self, events: pl.DataFrame) -> Int8Array:
        """+1, 0 or -1 per event: int8[event]. A rating without a value is neutral."""
        name, value = pl.col("event").fill_null(""), pl.col("value")
        rating = pl.when(value >= self.positive_from).then(1).when(value <= self.negative_to).then(-1).otherwise(0)
        sign = (
            pl.when(name.is_in(self.rating_events))
            .then(rating)
            .when(name.is_in(self.negative_events))
            .then(-1)
            .when(name.is_in(self.neutral_events))
            .then(0)
            .otherwise(1)
        )
        return events.select(sign.cast(pl.Int8)).to_series().to_numpy().copy()


@dataclass(frozen=True, eq=False)
class EventLog:
    """Events sorted by when they became known; all arrays have one entry per event.

    Events of items that the catalogue lacks are kept out by `from_frame` and counted in `n_unknown_items`. Those that
    were taken back are kept out too; `feature_store.point_in_time.cancelled_events` reads them, as long as they counted.
    """

    user_rows: IntArray
    """Row of the event's user."""
    item_rows: IntArray
    """Row of the event's item."""
    times: IntArray
    """When it happened, microseconds since 1970 UTC."""
    known: IntArray
    """From when on it may be used: see `point_in_time.known_at`."""
    signs: Int8Array
    """+1 for, 0 neutral, -1 against."""
    n_unknown_items: int = 0
    """Events left out because their item is not in the catalogue."""

    @classmethod
    def from_frame(cls, events: pl.DataFrame, users: pl.Series, items: pl.Series, signals: SignalConfig) -> EventLog:
        """The log of what stands in a store's `events` table; `users` and `items` are the ids in row order.

        The order of the frame's rows does not matter: the same events give the same log.
        """
        user_rows, item_rows = rows_of(events["user_id"], users), rows_of(events["item_id"], items)
        return cls.from_rows(events, user_rows.to_numpy(), item_rows.to_numpy(), signals)

    @classmethod
    def from_rows(cls, events: pl.DataFrame, users: IntArray, items: IntArray, signals: SignalConfig) -> EventLog:
        """The log of events whose user and item rows are known already; -1 for what is left out."""
        rows = event_columns(events, users, items, signals)
        return cls.from_columns(rows.filter(pl.col("gone") == END_OF_TIME) if "gone" in rows.columns else rows)

    @classmethod
    def from_columns(cls, rows: pl.DataFrame) -> EventLog:
        """The log of rows of `event_columns`."""
        known_items = rows.filter(pl.col("item") >= 0, pl.col("user") >= 0)
        ready = known_items.sort("known", "time", "user", "item", "sign")
        return cls(
            user_rows=ready["user"].to_numpy().copy(),
            item_rows=ready["item"].to_numpy().copy(),
            times=ready["time"].to_numpy().copy(),
            known=ready["known"].to_numpy().copy(),
            signs=ready["sign"].to_numpy().copy(),
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
        return self.taken(self.by_user.last(users, times, limit))

    def taken(self, events: Ragged) -> Past:
        """The given events: positions in the log, oldest first in each row."""
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
        newest = np.zeros(len(users), np.int64)
        newest[count > 0] = self.times[self.by_user.order[ends[count > 0] - 1]]
        return count, newest

    def item_counts(self, items: IntArray, times: IntArray, windows: Sequence[int]) -> list[IntArray]:
        """See `AsOf.item_counts`."""
        ends = self.by_item.ends(items, times)
        return [ends - self.by_item.starts(items), *(ends - self.by_item.ends(items, times - w) for w in windows)]

    def item_firsts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.item_firsts`; nothing here ends, so that the first is the first at all times."""
        del times
        known, happened = (np.full(len(items), END_OF_TIME) for _ in range(2))
        starts, ends = self.by_item.starts(items), self.by_item.starts(items + 1)
        first = self.by_item.order[starts[ends > starts]]
        known[ends > starts], happened[ends > starts] = self.known[first], self.times[first]
        return known, happened

    def item_lasts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.item_lasts`."""
        ends = self.by_item.ends(items, times)
        has_event = ends > self.by_item.starts(items)
        newest = self._newest_so_far[ends[has_event] - 1]
        known = np.full(len(items), START_OF_TIME)
        happened = np.full(len(items), START_OF_TIME)
        known[has_event] = self.known[newest]
        happened[has_event] = self.times[newest]
        return known, happened

    @cached_property
    def _newest_so_far(self) -> IntArray:
        """For each place of `by_item.order`: which event happened last, of the item's events known no later."""
        order = self.by_item.order
        distinct_times, time_rank = np.unique(self.times[order], return_inverse=True)
        # Items ascend in `order`, so the maximum over all places up to here belongs to this place's own item.
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
        user_rows, item_rows, times = (rows[places] for rows in (self.user_rows, self.item_rows, self.times))
        return EventLog(user_rows, item_rows, times, self.known[places], self.signs[places])

    @property
    def clock(self) -> int:
        """The first microsecond at which all of the log is known; 0 for an empty log."""
        return int(self.known[-1]) if len(self) else 0


def event_columns(events: pl.DataFrame, users: IntArray, items: IntArray, signals: SignalConfig) -> pl.DataFrame:
    """user, item, time, known and sign of each event that ever counts, in the order of the table.

    With `gone`, from when on each no longer counts, where the table holds cancellations.
    """
    rows = events.select(
        user=pl.Series(users),
        item=pl.Series(items),
        time=pl.col("timestamp").dt.epoch("us"),
        known=when_known(),
        sign=pl.Series(signals.signs(events), dtype=pl.Int8),
    )
    gone = gone_at(events)
    return rows if gone is None else rows.with_columns(gone=pl.Series(gone)).filter(pl.col("gone") > pl.col("known"))


def rows_of(ids: pl.Series, known_ids: pl.Series) -> pl.Series:
    """The row of each id among `known_ids`, -1 where it is not there: Int64. Ids of another type are cast."""
    cast = ids if ids.dtype == known_ids.dtype else ids.cast(known_ids.dtype, strict=False)
    is_sorted = len(known_ids) and known_ids.flags["SORTED_ASC"]
    if len(ids) < VERY_FEW and is_sorted and not known_ids.null_count():
        return pl.Series([_place(known_ids, one) for one in cast.to_list()], dtype=pl.Int64)
    if len(ids) < FEW and is_sorted:
        place = np.minimum(known_ids.search_sorted(cast).to_numpy(), len(known_ids) - 1).astype(np.int64)
        found = zip(known_ids.gather(place).to_list(), cast.to_list(), strict=True)
        return pl.Series(np.where([one is not None and one == other for one, other in found], place, -1))
    table = pl.DataFrame({"id": known_ids, "row": pl.Series(range(len(known_ids)), dtype=pl.Int64)})
    joined = pl.DataFrame({"id": cast}).join(table, on="id", how="left", maintain_order="left")
    return joined["row"].fill_null(-1)


def _place(known_ids: pl.Series, wanted: Any) -> int:
    place = len(known_ids) if wanted is None else bisect_left(known_ids, wanted)
    return place if place < len(known_ids) and known_ids[place] == wanted else -1


__all__ = ["EventLog", "SignalConfig", "event_columns", "known_at", "rows_of"]
