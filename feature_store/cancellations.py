"""Cancellations: rows of the events table that cancel an earlier event, by its `event_id`.

An event counts from when it became known until its cancellation became known; from then on it is as if it had never
happened. A cancellation applies to the event of the same user and item with that id. If there is none (yet), it waits
and cancels nothing. An event whose cancellation is known first never counts. Of several cancellations the first
counts. A cancellation itself cannot be cancelled.
"""

from __future__ import annotations

import polars as pl

from feature_store.arrays import IntArray
from feature_store.point_in_time.as_of_join import when_known
from feature_store.point_in_time.read_protocol import END_OF_TIME, START_OF_TIME

_EVENT = ("event_id", "user_id", "item_id")
"""What a cancellation and its event have in common."""


def has_cancellations(events: pl.DataFrame) -> bool:
    """Whether any row of an `events` table is a cancellation."""
    return "cancels" in events.columns and events["cancels"].null_count() < len(events)


def cancellation_times(events: pl.DataFrame) -> IntArray | None:
    """When each row's cancellation became known, microseconds: int64[row]; None if the table has no cancellations.

    END_OF_TIME for an event that is not cancelled, START_OF_TIME for a row that is a cancellation: it never counts.
    """
    if not has_cancellations(events):
        return None
    first = _cancellations(events).group_by(_EVENT).agg(pl.col("cancelled_at").min())
    rows = events.select(*_EVENT, "cancels").join(first, on=_EVENT, how="left", maintain_order="left")
    is_event = pl.col("cancels").is_null()
    cancelled_at = pl.when(is_event).then(pl.col("cancelled_at").fill_null(END_OF_TIME)).otherwise(START_OF_TIME)
    return rows.select(cancelled_at).to_series().to_numpy().copy()


def n_waiting(events: pl.DataFrame) -> int:
    """How many cancellations name no event in the table."""
    if not has_cancellations(events):
        return 0
    own_events = events.filter(pl.col("cancels").is_null())
    return _cancellations(events).join(own_events, on=_EVENT, how="anti").height


def involves_cancellations(new: pl.DataFrame, earlier: pl.DataFrame) -> bool:
    """Whether new rows hold a cancellation, or an event that an earlier row has cancelled already."""
    if has_cancellations(new):
        return True
    return has_cancellations(earlier) and bool(new["event_id"].is_in(earlier["cancels"].drop_nulls().implode()).any())


def _cancellations(events: pl.DataFrame) -> pl.DataFrame:
    """The cancellations: which event of whom and of which item, and from when on it no longer counts."""
    rows = events.filter(pl.col("cancels").is_not_null())
    return rows.select("user_id", "item_id", event_id="cancels", cancelled_at=when_known())
