"""Small logs with cancellations, and the slow truth about them: the table without what was taken back by a moment."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import polars as pl
from hypothesis import strategies as st

from slow_reference import Event
from strategies import EPOCH, EVENT_SCHEMA, ITEMS, LAST_TIME, N_ITEMS, USERS, event_frame, moment


class Cancellation(NamedTuple):
    """A row that takes back event number `target` of the log."""

    target: int
    time: int
    delay: int | None = None
    named: bool = False
    """Whether it has an id of its own."""
    strange: bool = False
    """Whether it names another item than its event's."""


def cancellations(n_events: int = 14) -> st.SearchStrategy[list[Cancellation]]:
    """Some twice, some of events that never come, some known long before or after their event."""
    one = st.builds(
        Cancellation,
        st.integers(0, n_events),
        st.integers(0, LAST_TIME),
        st.none() | st.integers(0, LAST_TIME),
        st.booleans(),
        st.sampled_from([False, False, False, True]),
    )
    return st.lists(one, max_size=8, unique_by=lambda row: row[:2])


def frame_of(log: list[Event], taken_back: list[Cancellation]) -> pl.DataFrame:
    """The rows of a store's table."""
    named = event_frame(log).with_columns(event_id=pl.Series([f"e{n}" for n in range(len(log))], dtype=pl.String))
    rows = []
    for number, order in enumerate(taken_back):
        event = log[order.target] if order.target < len(log) else Event(0, 0, 0)
        item = ITEMS[(event.item + order.strange) % N_ITEMS]
        available = moment(None if order.delay is None else order.time + order.delay)
        own = f"c{number}" if order.named else None
        rows.append((USERS[event.user], item, moment(order.time), None, None, None, available, own, f"e{order.target}"))
    return pl.concat([named, pl.DataFrame(rows, schema=EVENT_SCHEMA, orient="row")])


def without(frame: pl.DataFrame, time: int) -> pl.DataFrame:
    """The table without the events that were taken back by then, and without cancellations: row by row."""
    kept = []
    orders = [row for row in frame.to_dicts() if row["cancels"] is not None]
    for row in frame.to_dicts():
        known = any(
            order["timestamp"] < moment(time) and (order["available_at"] or order["timestamp"]) <= moment(time)
            for order in orders
            if all(order[name] == row[name] for name in ("user_id", "item_id")) and order["cancels"] == row["event_id"]
        )
        if row["cancels"] is None and not known:
            kept.append(row)
    return pl.DataFrame(kept, schema=EVENT_SCHEMA)


class Turn(NamedTuple):
    """A user who turned to something new at a moment."""

    time: int
    user: str
    positives: set[str]
    had: set[str]
    """What the user had then."""


def turns(frame: pl.DataFrame, begin: int, end: int) -> list[Turn]:
    """Those with `begin < time <= end`, as whoever learns at `end` knows them; of a table without late events."""
    stood = [row for row in without(frame, end).to_dicts() if _counts(frame, row)]
    found = []
    for when, user in sorted({(row["timestamp"], row["user_id"]) for row in stood}):
        time = microseconds(when)
        mine = [row for row in stood if row["user_id"] == user]
        had = {row["item_id"] for row in without(frame, time).to_dicts() if _is_earlier(row, user, when)}
        new = {row["item_id"] for row in mine if row["timestamp"] == when and _is_positive(row)}
        new -= had | {row["item_id"] for row in mine if row["timestamp"] < when}
        if new and begin < time <= end:
            found.append(Turn(time, user, new, had))
    return found


def microseconds(when: datetime) -> int:
    """A stored datetime as a time."""
    return (when - EPOCH) // timedelta(microseconds=1)


def _counts(frame: pl.DataFrame, row: dict[str, Any]) -> bool:
    """Whether an event ever counts: it stands at the moment at which it becomes known."""
    return row in without(frame, microseconds(row["timestamp"]) + 1).to_dicts()


def _is_earlier(row: dict[str, Any], user: str, when: datetime) -> bool:
    return bool(row["user_id"] == user and row["timestamp"] < when)


def _is_positive(row: dict[str, Any]) -> bool:
    return row["event"] == "click" or (row["event"] == "rating" and (row["value"] or 0) >= 4)
