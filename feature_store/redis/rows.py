"""Events as Redis holds them: each known by 16 bytes, and packed into one member of a user's sorted set."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import polars as pl

from feature_store.cancellations import has_cancellations
from feature_store.faults import DataError
from feature_store.log import SignalConfig, rows_of
from feature_store.point_in_time import when_known

IDENTITY = 16
_AFTER = struct.Struct("<qqb")
"""Behind the identity: when it happened, since when it is known (microseconds), its sign; then the item's id."""
HEAD = IDENTITY + _AFTER.size
"""Bytes of a member before the item's id."""
EMPTY = 8
"""Bytes of a memory of nothing: a number of events."""
_NAMED, _SAID = "i", "e"


def event_rows(events: pl.DataFrame, items: pl.Series, signals: SignalConfig) -> pl.DataFrame:
    """The events of items that are known, as they became known: user, item, known, time, sign, identity, has_id.

    `events` are checked rows of the events table, `items` the ids of the catalogue. Ids are text here.
    """
    if has_cancellations(events):
        what = f"none where memories are online, got {len(events) - events['cancels'].null_count()}"
        raise DataError(f"events.cancels: expected {what}. Read the memories from the tables: leave out online.")
    rows = events.select(
        user=pl.col("user_id").cast(pl.String),
        item=pl.col("item_id").cast(pl.String),
        known=when_known(),
        time=pl.col("timestamp").dt.epoch("us"),
        sign=pl.Series(signals.signs(events), dtype=pl.Int8),
        event_id="event_id",
        event="event",
    ).filter(rows_of(events["item_id"], items) >= 0)
    says = [pl.col(name).cast(pl.String).fill_null("\0") for name in ("user", "item", "time", "event")]
    by_id = pl.concat_str(pl.lit(_NAMED), "event_id")
    identity = rows.select(by_id.fill_null(pl.concat_str(pl.lit(_SAID), *says, separator="\x1f"))).to_series()
    digests = [blake2b(text.encode(), digest_size=IDENTITY).digest() for text in identity.to_list()]
    told = rows.with_columns(
        identity=pl.Series(digests, dtype=pl.Binary), has_id=pl.col("event_id").is_not_null()
    ).unique("identity", keep="first", maintain_order=True)
    return told.drop("event_id", "event").sort("known", "time", "user", "item", "sign", maintain_order=True)


def members(rows: pl.DataFrame) -> list[bytes]:
    """One member for each row of `event_rows`."""
    columns = (rows[name].to_list() for name in ("identity", "time", "known", "sign", "item"))
    return [
        identity + _AFTER.pack(time, known, sign) + item.encode()
        for identity, time, known, sign, item in zip(*columns, strict=True)
    ]


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
