"""Events and cancellations as Redis keeps them: one row each, known by an identity of 16 bytes."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import polars as pl

from feature_store.cancellations import cancellation_times
from feature_store.point_in_time.as_of_join import when_known
from feature_store.point_in_time.event_log import rows_of
from feature_store.point_in_time.read_protocol import END_OF_TIME
from feature_store.redis.packing import IDENTITY_BYTES
from feature_store.signals import SignalConfig

_BY_ID = "i"
"""Prefix of what is hashed for an event with an `event_id`: that alone."""
_BY_CONTENT = "e"
"""Prefix of what is hashed for other rows: user, item, time and event."""
_NULL = "\0"
_SEPARATOR = "\x1f"


def event_rows(events: pl.DataFrame, items: pl.Series, signals: SignalConfig) -> pl.DataFrame:
    """The rows of known items in the order in which they became known.

    `events` are checked rows of the events table, `items` the ids of the catalogue. Columns of the result:

    - user, item: ids as text
    - known, time: when the row became known and when it happened, microseconds
    - sign: +1 positive, 0 neutral, -1 negative
    - identity: 16 bytes; of rows with equal ones the first is kept
    - has_id: whether the row has an `event_id`, or is a cancellation
    - target: the identity of the event that a cancellation cancels; null for an event
    - cancelled_at: from when on the row no longer counts, among these rows alone; see `cancellation_times`
    """
    cancelled_at = cancellation_times(events)
    if cancelled_at is None:
        cancelled_at = np.full(len(events), END_OF_TIME)
    cancels = events["cancels"] if "cancels" in events.columns else pl.lit(None, pl.String)
    rows = events.select(
        user=pl.col("user_id").cast(pl.String),
        item=pl.col("item_id").cast(pl.String),
        known=when_known(),
        time=pl.col("timestamp").dt.epoch("us"),
        sign=pl.Series(signals.signs(events), dtype=pl.Int8),
        event_id="event_id",
        event="event",
        cancels=cancels,
        cancelled_at=pl.Series(cancelled_at),
    ).filter(rows_of(events["item_id"], items) >= 0)
    identified = rows.with_columns(
        identity=_digests(_identity_texts(rows)),
        has_id=pl.col("event_id").is_not_null() | pl.col("cancels").is_not_null(),
        target=_digests(rows.select(_by_id("cancels")).to_series()),
    ).unique("identity", keep="first", maintain_order=True)
    ordered = identified.sort("known", "time", "user", "item", "sign", maintain_order=True)
    return ordered.drop("event_id", "event", "cancels")


def valid_events(rows: pl.DataFrame) -> pl.DataFrame:
    """The events among rows of `event_rows` that are not cancelled."""
    # For a cancellation `cancelled_at` is before all times, so this leaves events only.
    return rows.filter(pl.col("cancelled_at") == END_OF_TIME)


def cancelled_events(rows: pl.DataFrame) -> pl.DataFrame:
    """The events among rows of `event_rows` that are cancelled, also those cancelled before they became known."""
    return rows.filter(pl.col("target").is_null(), pl.col("cancelled_at") < END_OF_TIME)


def waiting_cancellations(rows: pl.DataFrame) -> pl.DataFrame:
    """The cancellations among rows of `event_rows` whose event is not among them."""
    cancellations = rows.filter(pl.col("target").is_not_null())
    events = rows.filter(pl.col("target").is_null())
    return cancellations.join(
        events,
        left_on=["target", "user", "item"],
        right_on=["identity", "user", "item"],
        how="anti",
        maintain_order="left",
    )


def _identity_texts(rows: pl.DataFrame) -> pl.Series:
    """What identifies each row, as text: its `event_id`, or else all that the table's identity consists of."""
    parts = [pl.col(name).cast(pl.String).fill_null(_NULL) for name in ("user", "item", "time", "event")]
    cancels = pl.concat_str(pl.lit(_SEPARATOR), "cancels").fill_null("")
    by_content = pl.concat_str(pl.concat_str(pl.lit(_BY_CONTENT), *parts, separator=_SEPARATOR), cancels)
    return rows.select(_by_id("event_id").fill_null(by_content)).to_series()


def _by_id(column: str) -> pl.Expr:
    return pl.concat_str(pl.lit(_BY_ID), column)


def _digests(texts: pl.Series) -> pl.Series:
    digests = [
        None if text is None else blake2b(text.encode(), digest_size=IDENTITY_BYTES).digest()
        for text in texts.to_list()
    ]
    return pl.Series(digests, dtype=pl.Binary)
