"""Events as Redis holds them: each known by 16 bytes, and packed into one member of a user's sorted set."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import polars as pl

from feature_store.cancellations import cancellation_times
from feature_store.point_in_time.as_of_index import when_known
from feature_store.point_in_time.as_of_reads import END_OF_TIME
from feature_store.point_in_time.event_log import rows_of
from feature_store.signals import SignalConfig

IDENTITY = 16
_AFTER = struct.Struct("<qqb")
"""Behind the identity: when it happened, since when it is known (microseconds), its sign; then the item's id."""
HEAD = IDENTITY + _AFTER.size
"""Bytes of a member before the item's id."""
_COUNTED = IDENTITY + 8
"""Bytes of a member that an item's counters hold: its identity, and when it happened."""
EMPTY = 8
"""Bytes of a memory of nothing: a number of events."""
_NAMED, _SAID = "i", "e"


def event_rows(events: pl.DataFrame, items: pl.Series, signals: SignalConfig) -> pl.DataFrame:
    """Rows of known items as they became known: user, item, known, time, sign, identity, has_id, target and gone.

    `events` are checked rows of the events table, `items` the ids of the catalogue. Ids are text here. `target`: the
    identity of the event that a row cancels, null for an event. `gone`: see `cancellation_times`, of these rows alone.
    """
    told = cancellation_times(events)
    gone = np.full(len(events), END_OF_TIME) if told is None else told
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
        gone=pl.Series(gone),
    ).filter(rows_of(events["item_id"], items) >= 0)
    says = [pl.col(name).cast(pl.String).fill_null("\0") for name in ("user", "item", "time", "event")]
    cancelled = pl.concat_str(pl.lit("\x1f"), "cancels").fill_null("")
    said = pl.concat_str(pl.concat_str(pl.lit(_SAID), *says, separator="\x1f"), cancelled)
    identity = rows.select(_named("event_id").fill_null(said)).to_series()
    identified = rows.with_columns(
        identity=_digests(identity),
        has_id=pl.col("event_id").is_not_null() | pl.col("cancels").is_not_null(),
        target=_digests(rows.select(_named("cancels")).to_series()),
    ).unique("identity", keep="first", maintain_order=True)
    ordered = identified.sort("known", "time", "user", "item", "sign", maintain_order=True)
    return ordered.drop("event_id", "event", "cancels")


def waiting(rows: pl.DataFrame) -> pl.DataFrame:
    """The cancellations among rows of `event_rows` whose event is not."""
    orders = rows.filter(pl.col("target").is_not_null())
    events = rows.filter(pl.col("target").is_null())
    keys = (["target", "user", "item"], ["identity", "user", "item"])
    return orders.join(events, left_on=keys[0], right_on=keys[1], how="anti", maintain_order="left")


def _named(column: str) -> pl.Expr:
    return pl.concat_str(pl.lit(_NAMED), column)


def _digests(texts: pl.Series) -> pl.Series:
    found = [
        None if text is None else blake2b(text.encode(), digest_size=IDENTITY).digest() for text in texts.to_list()
    ]
    return pl.Series(found, dtype=pl.Binary)


def members(rows: pl.DataFrame) -> list[bytes]:
    """One member for each row of `event_rows`."""
    columns = (rows[name].to_list() for name in ("identity", "time", "known", "sign", "item"))
    return [
        identity + _AFTER.pack(time, known, sign) + item.encode()
        for identity, time, known, sign, item in zip(*columns, strict=True)
    ]


def heads(rows: pl.DataFrame) -> list[bytes]:
    """What an item's counters hold of each row of `event_rows`."""
    return [member[:_COUNTED] for member in members(rows)]


def unpacked(blobs: Sequence[bytes]) -> tuple[list[int], list[str], np.ndarray]:
    """Memories as `read.lua` packs them, empty blobs for none: lengths, items' ids, and int64[event, 3].

    The numbers of an event are: when it happened, since when it is known, its sign. The newest stand first.
    """
    lengths: list[int] = []
    items: list[str] = []
    numbers: list[tuple[int, int, int]] = []
    for blob in blobs:
        at, before = EMPTY, len(items)
        while at < len(blob):
            (size,) = struct.unpack_from("<I", blob, at)
            numbers.append(_AFTER.unpack_from(blob, at + 4 + IDENTITY))
            items.append(blob[at + 4 + HEAD : at + 4 + size].decode())
            at += 4 + size
        lengths.append(len(items) - before)
    return lengths, items, np.array(numbers, np.int64).reshape(-1, 3)


def identities(blob: bytes) -> frozenset[bytes]:
    """Those of the members that are packed one after the other."""
    found, at = set[bytes](), 0
    while at < len(blob):
        (size,) = struct.unpack_from("<I", blob, at)
        found.add(blob[at + 4 : at + 4 + IDENTITY])
        at += 4 + size
    return frozenset(found)
