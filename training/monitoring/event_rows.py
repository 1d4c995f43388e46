"""Figures of events: their names, and how many are the first of their user or item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store.arrays import BoolArray, IntArray

EVENT = "event"
UNNAMED = "(none)"
FIRST_OF_USER = "events.first_of_user"
FIRST_OF_ITEM = "events.first_of_item"
UNKNOWN_ITEM = "events.unknown_item"


@dataclass(frozen=True, eq=False)
class EventRows:
    """Some events: one entry per event in every array."""

    users: IntArray
    """A number for each event's user."""
    shares: dict[str, BoolArray]
    """By name: whether the event counts."""
    kinds: tuple[IntArray, tuple[str, ...]]
    """The place of each event's name among the names."""

    def __len__(self) -> int:
        return len(self.users)


def event_rows(events: pl.DataFrame, log: pl.DataFrame, item_ids: pl.Series) -> EventRows:
    """The figures of checked rows of the events table.

    `log` are all events that count, these among them: an event is the first of its user if none of the user's lies
    before it. `item_ids` are the items that are known.
    """
    wanted = events.select("user_id", "item_id", "timestamp", "event")
    firsts = [
        log.group_by(name).agg(pl.col("timestamp").min().alias(f"first {name}")) for name in ("user_id", "item_id")
    ]
    for first in firsts:
        wanted = wanted.join(first, on=first.columns[0], how="left", maintain_order="left")
    names = wanted["event"].fill_null(UNNAMED)
    found = names.unique().sort()
    places = names.replace_strict(found, pl.int_range(len(found), eager=True), return_dtype=pl.Int64)
    return EventRows(
        users=wanted["user_id"].rank("dense").to_numpy().astype(np.int64),
        shares={
            FIRST_OF_USER: (wanted["timestamp"] <= wanted["first user_id"]).fill_null(True).to_numpy(),
            FIRST_OF_ITEM: (wanted["timestamp"] <= wanted["first item_id"]).fill_null(True).to_numpy(),
            UNKNOWN_ITEM: ~wanted["item_id"].is_in(item_ids.implode()).to_numpy(),
        },
        kinds=(places.to_numpy(), tuple(found.to_list())),
    )
