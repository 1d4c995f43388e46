"""What was shown and what was clicked: click-through as of a moment, with a prior, and impressions as queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store.arrays import Float32Array, IntArray
from feature_store.point_in_time.as_of_index import AsOfIndex
from feature_store.point_in_time.event_log import rows_of

PRIOR_SHOWN = 20.0
"""Showings that an item is credited with at the average rate before its own count."""


CLICK_FEATURES = ("click_through", "shown")


@dataclass(frozen=True, eq=False)
class ClickIndex:
    """Showings and clicks of each item, by when they became known."""

    shown: AsOfIndex
    clicked: AsOfIndex

    @classmethod
    def of(cls, impressions: pl.DataFrame, items: pl.Series) -> ClickIndex:
        """The index of a store's `impressions` table, which may be empty: then nothing was ever shown."""
        rows = rows_of(impressions["item_id"], items).to_numpy()
        known = impressions["timestamp"].dt.epoch("us").to_numpy() + 1
        label = impressions["label"].to_numpy() > 0
        inside = rows >= 0
        clicked = inside & label
        return cls(
            shown=AsOfIndex(rows[inside], known[inside]),
            clicked=AsOfIndex(rows[clicked], known[clicked]),
        )

    def columns(self, items: IntArray, times: IntArray) -> dict[str, Float32Array]:
        """`click_through` and `shown`, log(1 + showings), of `items[n]` as of `times[n]`."""
        shown, clicked = self.shown.counts(items, times), self.clicked.counts(items, times)
        average = (self.clicked.known_until(times) + 1) / (self.shown.known_until(times) + PRIOR_SHOWN)
        smoothed = (clicked + PRIOR_SHOWN * average) / (shown + PRIOR_SHOWN)
        values = (smoothed.astype(np.float32), np.log1p(shown).astype(np.float32))
        return dict(zip(CLICK_FEATURES, values, strict=True))
