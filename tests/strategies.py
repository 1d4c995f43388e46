"""Hypothesis strategies for small logs: ties in time, late arrivals, ratings that count against, few users and items.

Times are whole microseconds and the windows are a few of them, so that every boundary is met often.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import strategies as st

from feature_store import EventLog
from slow_reference import Event, Showing, first_known, in_order, sign

N_USERS, N_ITEMS = 3, 5
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


def moment(time: int | None) -> datetime | None:
    """A time in microseconds as the stored datetime."""
    return None if time is None else EPOCH + timedelta(microseconds=time)


def times() -> st.SearchStrategy[int]:
    """PastQueries at which events happen and queries ask."""
    return st.integers(0, LAST_TIME)


def events(*, late: bool = True, from_time: int = 0) -> st.SearchStrategy[Event]:
    """One event: a click, a skip, or a rating from 1 to 5 or without a value; some arrive long after they happened."""
    kinds = st.sampled_from(["click", "click", "skip", "rating"])
    values = st.none() | st.integers(1, 5).map(float)
    delays = st.none() | st.integers(0, LAST_TIME) if late else st.none()

    def build(user: int, item: int, time: int, kind: str, value: float | None, delay: int | None) -> Event:
        return Event(
            user, item, time, kind, value if kind == "rating" else None, None if delay is None else time + delay
        )

    users, items = st.integers(0, N_USERS - 1), st.integers(0, N_ITEMS - 1)
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
    """The rows of a few impressions; each shows up to three items to one user at one moment."""
    items = st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=3, unique=True)
    one = st.tuples(
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

    return st.lists(one, max_size=max_size).map(build)


def event_frame(log: Sequence[Event]) -> pl.DataFrame:
    """The events as a store's table gives them."""
    rows = [
        (
            USERS[event.user],
            ITEMS[event.item],
            moment(event.time),
            event.kind,
            event.value,
            None,
            moment(event.available),
            None,
            None,
        )
        for event in log
    ]
    return pl.DataFrame(rows, schema=EVENT_SCHEMA, orient="row")


def impression_frame(shown: Sequence[Showing]) -> pl.DataFrame:
    """The showings as a store's table gives them."""
    rows = [
        (f"m{row.impression}", USERS[row.user], moment(row.time), ITEMS[row.item], row.label, place)
        for place, row in enumerate(shown)
    ]
    return pl.DataFrame(rows, schema=IMPRESSION_SCHEMA, orient="row")


def event_log(log: Sequence[Event]) -> EventLog:
    """The log of the events over all of `USERS` and `ITEMS`; `test_log` shows that a frame gives the same."""

    ordered = in_order(log)
    columns = ([getattr(event, name) for event in ordered] for name in ("user", "item", "time"))
    user_rows, item_rows, happened = (np.array(column, dtype=np.int64) for column in columns)
    known = np.array([first_known(event) for event in ordered], dtype=np.int64)
    return EventLog(user_rows, item_rows, happened, known, np.array([sign(event) for event in ordered], dtype=np.int8))
