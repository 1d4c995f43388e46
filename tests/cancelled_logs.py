"""Small logs with cancellations, and the oracle for them: the table without what is cancelled by a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl
from hypothesis import strategies as st

from slow_reference import Event
from strategies import EPOCH, EVENT_SCHEMA, ITEMS, LAST_TIME, N_ITEMS, USERS, as_datetime, event_frame


class Cancellation(NamedTuple):
    """A row that cancels event number `target` of the log."""

    target: int
    time: int
    delay: int | None = None
    named: bool = False
    """Whether it has an `event_id` of its own."""
    strange: bool = False
    """Whether it names another item than its event, so that it cancels nothing."""


def cancellations(n_events: int = 14) -> st.SearchStrategy[list[Cancellation]]:
    """Some events are cancelled twice, some never come, some cancellations are known long before or after the event."""
    cancellation = st.builds(
        Cancellation,
        st.integers(0, n_events),
        st.integers(0, LAST_TIME),
        st.none() | st.integers(0, LAST_TIME),
        st.booleans(),
        st.sampled_from([False, False, False, True]),
    )
    return st.lists(cancellation, max_size=8, unique_by=lambda row: row[:2])


def frame_of(log: list[Event], cancelled: list[Cancellation]) -> pl.DataFrame:
    """The events and cancellations as rows of a store's `events` table; event number n has the id "e<n>"."""
    events = event_frame(log).with_columns(event_id=pl.Series([f"e{n}" for n in range(len(log))], dtype=pl.String))
    rows = []
    for number, row in enumerate(cancelled):
        event = log[row.target] if row.target < len(log) else Event(0, 0, 0)
        item = ITEMS[(event.item + row.strange) % N_ITEMS]
        available = as_datetime(None if row.delay is None else row.time + row.delay)
        own_id = f"c{number}" if row.named else None
        cancels = f"e{row.target}"
        rows.append((USERS[event.user], item, as_datetime(row.time), None, None, None, available, own_id, cancels))
    return pl.concat([events, pl.DataFrame(rows, schema=EVENT_SCHEMA, orient="row")])


def without(frame: pl.DataFrame, time: int) -> pl.DataFrame:
    """The table without the events that are cancelled by then, and without cancellations: row by row."""
    now = as_datetime(time)
    known_cancellations = [
        row
        for row in frame.to_dicts()
        if row["cancels"] is not None
        and row["timestamp"] < now
        and (row["available_at"] is None or row["available_at"] <= now)
    ]
    cancelled = {(row["cancels"], row["user_id"], row["item_id"]) for row in known_cancellations}
    kept = [
        row
        for row in frame.to_dicts()
        if row["cancels"] is None and (row["event_id"], row["user_id"], row["item_id"]) not in cancelled
    ]
    return pl.DataFrame(kept, schema=EVENT_SCHEMA)


class ExpectedQuery(NamedTuple):
    """A user who interacted with something new at a time."""

    time: int
    user: str
    positives: set[str]
    had: set[str]
    """The items that the user had interacted with before."""


def expected_queries(frame: pl.DataFrame, begin: int, end: int) -> list[ExpectedQuery]:
    """The queries with `begin < time <= end`, as known at `end`; of a table without late events."""
    events = [row for row in without(frame, end).to_dicts() if _ever_counts(frame, row)]
    found = []
    for when, user in sorted({(row["timestamp"], row["user_id"]) for row in events}):
        time = microseconds(when)
        of_user = [row for row in events if row["user_id"] == user]
        had = {row["item_id"] for row in without(frame, time).to_dicts() if _is_earlier(row, user, when)}
        positives = {row["item_id"] for row in of_user if row["timestamp"] == when and _is_positive(row)}
        new = positives - had - {row["item_id"] for row in of_user if row["timestamp"] < when}
        if new and begin < time <= end:
            found.append(ExpectedQuery(time, user, new, had))
    return found


def microseconds(when: datetime) -> int:
    """A stored datetime as a time."""
    return (when - EPOCH) // timedelta(microseconds=1)


def _ever_counts(frame: pl.DataFrame, row: dict[str, Any]) -> bool:
    """Whether an event ever counts: it is not cancelled yet when it becomes known."""
    return row in without(frame, microseconds(row["timestamp"]) + 1).to_dicts()


def _is_earlier(row: dict[str, Any], user: str, when: datetime) -> bool:
    return bool(row["user_id"] == user and row["timestamp"] < when)


def _is_positive(row: dict[str, Any]) -> bool:
    return row["event"] == "click" or (row["event"] == "rating" and (row["value"] or 0) >= 4)
