"""Click-through rates of items as of a time, smoothed towards the average rate of all items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store.arrays import Float32Array, IntArray
from feature_store.point_in_time.as_of_join import AsOfIndex, known_at
from feature_store.point_in_time.event_log import rows_of

PRIOR_SHOWN = 20.0
"""Impressions at the average rate that are added to each item's own, so that few impressions say little."""

CLICK_FEATURES = ("click_through", "shown")


@dataclass(frozen=True, eq=False)
class ClickIndex:
    """Impressions and clicks of each item, by when they became known."""

    shown: AsOfIndex
    clicked: AsOfIndex

    @classmethod
    def of(cls, impressions: pl.DataFrame, items: pl.Series) -> ClickIndex:
        """The index of a store's `impressions` table, which may be empty; items outside `items` are left out."""
        rows = rows_of(impressions["item_id"], items).to_numpy()
        known = known_at(impressions["timestamp"].dt.epoch("us").to_numpy())
        in_catalogue = rows >= 0
        clicked = in_catalogue & (impressions["label"].to_numpy() > 0)
        return cls(
            shown=AsOfIndex(rows[in_catalogue], known[in_catalogue]),
            clicked=AsOfIndex(rows[clicked], known[clicked]),
        )

    def features(self, items: IntArray, times: IntArray) -> dict[str, Float32Array]:
        """`click_through` and `shown`, log(1 + impressions), of `items[n]` as of `times[n]`: float32[n] each."""
        shown = self.shown.counts(items, times)
        clicked = self.clicked.counts(items, times)
        # Without any impression the average is 1 / PRIOR_SHOWN.
        average = (self.clicked.known_until(times) + 1) / (self.shown.known_until(times) + PRIOR_SHOWN)
        click_through = (clicked + PRIOR_SHOWN * average) / (shown + PRIOR_SHOWN)
        values = (click_through.astype(np.float32), np.log1p(shown).astype(np.float32))
        return dict(zip(CLICK_FEATURES, values, strict=True))
