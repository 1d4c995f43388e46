"""Which events are positive, neutral or negative for the user's taste in an item."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from feature_store.arrays import Int8Array
from feature_store.settings import check_settings, setting


@dataclass(frozen=True)
class SignalConfig:
    """Which events are positive, neutral or negative."""

    rating_events: tuple[str, ...] = setting(("rating",))
    """Events whose `value` is a rating. So is a value without an event; if there are no such events, it is none."""
    positive_from: float = setting(4.0)
    """A rating of at least this is positive."""
    negative_to: float = setting(2.0)
    """A rating of at most this is negative; between the two it is neutral."""
    negative_events: tuple[str, ...] = setting(("skip", "return", "dislike", "hide"))
    """Events that are negative whatever their value."""
    neutral_events: tuple[str, ...] = setting(())
    """Events that are neutral: remembered, but neither positive nor negative."""

    def __post_init__(self) -> None:
        check_settings(self, self._conflicts)

    def _conflicts(self) -> Iterator[str]:
        if self.negative_to >= self.positive_from:
            yield (
                f"negative_to: expected less than positive_from ({self.positive_from}), got {self.negative_to}. "
                "Leave room for neutral ratings between the two."
            )

    def is_rating(self) -> pl.Expr:
        """Whether a row of the events table is judged by its value."""
        by_name = pl.col("event").fill_null("").is_in(self.rating_events)
        if not self.rating_events:
            return by_name
        # A file of ratings often has no column for the kind of event. Otherwise one star would count as a liked item.
        return by_name | (pl.col("event").is_null() & pl.col("value").is_not_null())

    def signs(self, events: pl.DataFrame) -> Int8Array:
        """+1 positive, 0 neutral, -1 negative: int8[event]. A rating without a value is neutral."""
        name = pl.col("event").fill_null("")
        value = pl.col("value")
        rating = pl.when(value >= self.positive_from).then(1).when(value <= self.negative_to).then(-1).otherwise(0)
        sign = (
            pl.when(self.is_rating())
            .then(rating)
            .when(name.is_in(self.negative_events))
            .then(-1)
            .when(name.is_in(self.neutral_events))
            .then(0)
            .otherwise(1)
        )
        return events.select(sign.cast(pl.Int8)).to_series().to_numpy().copy()
