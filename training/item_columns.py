"""Warnings about numeric columns of items: those that tell the future, and those that have times for some items only.

A column without times is read as it is now for all past queries. Whether it sums up what happened since cannot be known
from it alone. But if it tells how often items are chosen later, and their events until then do not, it probably does.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import rankdata

from feature_store.arrays import IntArray
from feature_store.point_in_time.event_log import rows_of
from recmem.dataset.dataset import Dataset

AnyArray = NDArray[np.floating] | NDArray[np.integer]

FEWEST_ITEMS = 30
"""Items with an earlier event and a number that a column needs: with fewer there is no warning about it."""
LEAST_CORRELATION = 0.35
"""A warning from this partial rank correlation with later events on; attributes such as a price have less."""
LEAST_DEVIATIONS = 5.0
"""The correlation must also be so many standard deviations from zero: with few items, chance gives high ones."""
RECENT_SHARE = 0.25
"""The share of the events before the split that counts as recent."""


def column_warnings(dataset: Dataset, split: int) -> Iterator[str]:
    """A sentence or two about each column; `split` (microseconds) is the time at which later events begin."""
    yield from _leak_warnings(dataset, split)
    yield from _coverage_warnings(dataset)


def future_correlations(dataset: Dataset, split: int) -> dict[str, tuple[float, int]]:
    """How well each undated column tells the later events of items, and of how many items: -1 to 1.

    The rank correlation of the column with the events of an item after the split, where what its events until then
    tell is taken out of both: how many there were, how many of the recent ones, and when the first was.
    """
    items, times = _choices(dataset)
    n_items = len(dataset.catalogue)
    is_later = times > split
    earlier_times = times[~is_later]
    if not len(earlier_times) or not is_later.any():
        return {}
    recent = ~is_later & (times > np.quantile(earlier_times, 1 - RECENT_SHARE))
    first = np.full(n_items, np.iinfo(np.int64).max)
    np.minimum.at(first, items, times)
    n_before, n_recent, n_later = (
        np.bincount(items[those], minlength=n_items) for those in (~is_later, recent, is_later)
    )
    found = {}
    for name, numbers in dataset.catalogue.numbers().items():
        used = np.isfinite(numbers) & (n_before > 0)
        n_used = int(used.sum())
        if name in dataset.item_history.columns or n_used < FEWEST_ITEMS:
            continue
        known = [n_before[used], n_recent[used], first[used]]
        found[name] = (_partial_correlation(numbers[used], n_later[used], known), n_used)
    return found


def _leak_warnings(dataset: Dataset, split: int) -> Iterator[str]:
    for name, (correlation, n_items) in future_correlations(dataset, split).items():
        if abs(correlation) >= LEAST_CORRELATION and abs(correlation) * np.sqrt(n_items) >= LEAST_DEVIATIONS:
            yield (
                f"items.{name}: it tells how often items are chosen later, beyond what their events until then tell "
                f"(partial rank correlation {correlation:.2f}, {n_items:,} items). It has no times, so past queries "
                "read it as it is now: if it sums up what has happened, it leaks, and the figures are too good. Give "
                "the items a `timestamp` and a row for each change, or leave the column out."
            )


def _coverage_warnings(dataset: Dataset) -> Iterator[str]:
    for name in dataset.catalogue.number_columns:
        if name not in dataset.item_history.columns:
            continue
        with_value = dataset.catalogue.items.filter(dataset.catalogue.items[name].is_not_null())["item_id"]
        dated = dataset.item_changes.filter(dataset.item_changes[name].is_not_null())["item_id"].unique()
        n_without = int((~with_value.is_in(dated.implode())).sum())
        if n_without:
            yield (
                f"items.{name}: {n_without:,} of {len(with_value):,} items have a value without a time, from before "
                "the column came with times. It is not read: give these items once more, with a `timestamp`."
            )


def _choices(dataset: Dataset) -> tuple[IntArray, IntArray]:
    """Items and times (microseconds) of all events, and of the clicked items of impressions."""
    clicked = dataset.impressions.filter(pl.col("label") == 1)
    rows = rows_of(clicked["item_id"], dataset.catalogue.ids).to_numpy()
    clicked_at = clicked["timestamp"].dt.epoch("us").to_numpy()
    items = np.concatenate([dataset.log.item_rows, rows[rows >= 0]])
    return items, np.concatenate([dataset.log.times, clicked_at[rows >= 0]])


def _partial_correlation(first: AnyArray, second: AnyArray, given: list[AnyArray]) -> float:
    """Of the ranks of two columns, less what those of the given ones tell by least squares; 0 where nothing is left."""
    known = np.stack([np.ones(len(first)), *map(rankdata, given)], axis=1)
    left, right = (ranks - known @ np.linalg.lstsq(known, ranks)[0] for ranks in map(rankdata, (first, second)))
    scale = np.sqrt((left @ left) * (right @ right))
    # What is left of a column that the others tell entirely is rounding.
    smallest = 1e-9 * len(first) ** 3
    return float(left @ right / scale) if scale > smallest else 0.0
