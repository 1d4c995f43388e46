"""Hypothesis strategies for small logs: ties in time, late arrivals, negative ratings, few users and items.

Times are a few whole microseconds, and so are the windows, so that examples often fall on a boundary.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import strategies as st

from feature_store import EventLog
from slow_reference import Event, Showing, first_known, in_order, sign

N_USERS = 3
N_ITEMS = 5
LAST_TIME = 12
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UTC_US = pl.Datetime("us", "UTC")

USERS = pl.Series("user_id", [f"user{number}" for number in range(N_USERS)])
ITEMS = pl.Series("item_id", [f"i{number}" for number in range(N_ITEMS)])

EVENT_SCHEMA = {
    "user_id": pl.String,
    "item_id": pl.String,
    "timestamp": UTC_US,
    "event": pl.String,
    "value": pl.Float64,
    "session_id": pl.String,
    "available_at": UTC_US,
    "event_id": pl.String,
    "cancels": pl.String,
}
IMPRESSION_SCHEMA = {
    "impression_id": pl.String,
    "user_id": pl.String,
    "timestamp": UTC_US,
    "item_id": pl.String,
    "label": pl.Int8,
    "position": pl.Int32,
}


def as_datetime(time: int | None) -> datetime | None:
    """A time in microseconds as the stored datetime."""
    return None if time is None else EPOCH + timedelta(microseconds=time)


def times() -> st.SearchStrategy[int]:
    """Times of events and of queries."""
    return st.integers(0, LAST_TIME)


def events(*, late: bool = True, from_time: int = 0) -> st.SearchStrategy[Event]:
    """A click, a skip, an event that no rule names, or a rating of 1 to 5 or without a value.

    With `late`, some arrive long after they happened.
    """
    kinds = st.sampled_from(["click", "click", "skip", "build", "rating"])
    values = st.none() | st.integers(1, 5).map(float)
    delays = st.none() | st.integers(0, LAST_TIME) if late else st.none()

    def build(user: int, item: int, time: int, kind: str, value: float | None, delay: int | None) -> Event:
        rating = value if kind == "rating" else None
        available = None if delay is None else time + delay
        return Event(user, item, time, kind, rating, available)

    users = st.integers(0, N_USERS - 1)
    items = st.integers(0, N_ITEMS - 1)
    return st.builds(build, users, items, st.integers(from_time, from_time + LAST_TIME), kinds, values, delays)


def logs(
    *, late: bool = True, from_time: int = 0, min_size: int = 0, max_size: int = 14
) -> st.SearchStrategy[list[Event]]:
    """Distinct events in no particular order."""
    return st.lists(
        events(late=late, from_time=from_time),
        min_size=min_size,
        max_size=max_size,
        unique_by=lambda event: (event.user, event.item, event.time, event.kind),
    )


def showings(*, from_time: int = 0, first_impression: int = 0, max_size: int = 4) -> st.SearchStrategy[list[Showing]]:
    """The rows of a few impressions; each shows up to three items to one user at one time."""
    items = st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=3, unique=True)
    impression = st.tuples(
        st.integers(0, N_USERS - 1),
        st.integers(from_time, from_time + LAST_TIME),
        items,
        st.lists(st.integers(0, 1), min_size=3, max_size=3),
    )

    def build(impressions: list[tuple[int, int, list[int], list[int]]]) -> list[Showing]:
        return [
            Showing(first_impression + number, user, item, time, label)
            for number, (user, time, shown, labels) in enumerate(impressions)
            for item, label in zip(shown, labels, strict=False)
        ]

    return st.lists(impression, max_size=max_size).map(build)


def event_frame(log: Sequence[Event]) -> pl.DataFrame:
    """The events as rows of a store's `events` table."""
    rows = [
        (
            USERS[event.user],
            ITEMS[event.item],
            as_datetime(event.time),
            event.kind,
            event.value,
            None,
            as_datetime(event.available),
            None,
            None,
        )
        for event in log
    ]
    return pl.DataFrame(rows, schema=EVENT_SCHEMA, orient="row")


def impression_frame(shown: Sequence[Showing]) -> pl.DataFrame:
    """The showings as rows of a store's `impressions` table."""
    rows = [
        (f"m{row.impression}", USERS[row.user], as_datetime(row.time), ITEMS[row.item], row.label, place)
        for place, row in enumerate(shown)
    ]
    return pl.DataFrame(rows, schema=IMPRESSION_SCHEMA, orient="row")


def event_log(log: Sequence[Event]) -> EventLog:
    """The log of the events over all of `USERS` and `ITEMS`; `test_event_log` shows that a frame gives the same."""
    ordered = in_order(log)
    return EventLog(
        user_rows=np.array([event.user for event in ordered], dtype=np.int64),
        item_rows=np.array([event.item for event in ordered], dtype=np.int64),
        times=np.array([event.time for event in ordered], dtype=np.int64),
        known=np.array([first_known(event) for event in ordered], dtype=np.int64),
        signs=np.array([sign(event) for event in ordered], dtype=np.int8),
    )
