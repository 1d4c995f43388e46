"""Cancellations: rows of the events table that take an earlier event back, by its `event_id`.

An event counts from when it became known until its cancellation became known, and from then on it is as if it had never
been. A cancellation counts for the event of the same user and item that bears the id; where there is none (yet), it
waits, and takes nothing back. One that is known before its event leaves nothing of it; of several the first counts;
cancellations themselves cannot be cancelled.
"""

from __future__ import annotations

import polars as pl

from feature_store.arrays import IntArray
from feature_store.point_in_time.as_of_index import when_known
from feature_store.point_in_time.as_of_reads import END_OF_TIME, START_OF_TIME


def has_cancellations(events: pl.DataFrame) -> bool:
    """Whether any row of an `events` table is one."""
    return "cancels" in events.columns and events["cancels"].null_count() < len(events)


def gone_at(events: pl.DataFrame) -> IntArray | None:
    """From when on each row no longer counts, microseconds: int64[row]; None where nothing is taken back.

    The end of time for an event that stands, and a time before all others for what is no event but a cancellation.
    """
    if not has_cancellations(events):
        return None
    orders = _orders(events).group_by("event_id", "user_id", "item_id").agg(pl.col("gone").min())
    told = events.select("event_id", "user_id", "item_id", "cancels").join(
        orders, on=["event_id", "user_id", "item_id"], how="left", maintain_order="left"
    )
    is_event = pl.col("cancels").is_null()
    gone = pl.when(is_event).then(pl.col("gone").fill_null(END_OF_TIME)).otherwise(START_OF_TIME)
    return told.select(gone).to_series().to_numpy().copy()


def n_waiting(events: pl.DataFrame) -> int:
    """How many cancellations name no event that is there."""
    if not has_cancellations(events):
        return 0
    there = events.filter(pl.col("cancels").is_null())
    return _orders(events).join(there, on=["event_id", "user_id", "item_id"], how="anti").height


def takes_back(new: pl.DataFrame, earlier: pl.DataFrame) -> bool:
    """Whether new rows hold a cancellation, or an event that an earlier row has cancelled already."""
    if has_cancellations(new):
        return True
    return has_cancellations(earlier) and bool(new["event_id"].is_in(earlier["cancels"].drop_nulls().implode()).any())


def _orders(events: pl.DataFrame) -> pl.DataFrame:
    """The cancellations: whose event, which, and from when on it is gone."""
    rows = events.filter(pl.col("cancels").is_not_null())
    return rows.select("user_id", "item_id", event_id="cancels", gone=when_known())
