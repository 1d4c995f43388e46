"""Slices of the test: queries by the user's number of events, positives by what is known of the item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_store.arrays import BoolArray, Float64Array, IntArray
from feature_store.ragged import Ragged
from recmem.dataset.dataset import Dataset
from training.evaluation.metrics import PerQuery, recall
from training.evaluation.ranks import PerPositive
from training.queries import Queries

MEMORY_SLICES = {"memory 1-5": (1, 5), "memory 6-20": (6, 20), "memory 21+": (21, np.inf)}
"""Events of the user before the query: fewest and most, inclusive."""
YOUNG_SHARE = 1 / 12
"""An item is young if its first event is less than this share of the log's span ago."""
REPEATED_ITEMS = "repeated items"
"""Slices where items that users have had are wanted too: those, and the others."""
FIRST_ITEMS = "first items"


@dataclass(frozen=True)
class PositiveSlice:
    """A slice of positives, as figures of queries: NaN where a query has none of these positives."""

    metric: str
    without: PerQuery
    with_: PerQuery
    n_positives: IntArray
    """Positives of the slice in each query. They weigh the queries: a recall is then the share of positives found."""
    n_items: int
    """Distinct items among these positives."""

    @classmethod
    def of_recall(
        cls,
        ranks_without: PerPositive,
        ranks_with: PerPositive,
        positives: Ragged,
        *,
        among: BoolArray,
        k: int = 10,
    ) -> PositiveSlice:
        """Recall@k of the positives under the mask `among`; both rankings give the ranks of the same positives.

        `positives` are the item rows of each query's positives.
        """
        offsets = positives.offsets
        n_positives = np.bincount(positives.row_index, among, len(positives))
        return cls(
            metric=f"recall@{k}",
            without=recall(ranks_without, offsets, k=k, among=among),
            with_=recall(ranks_with, offsets, k=k, among=among),
            n_positives=n_positives.astype(np.int64),
            n_items=len(np.unique(positives.values[among])),
        )


def query_slices(dataset: Dataset, queries: Queries) -> dict[str, BoolArray]:
    """Masks over queries by the number of the user's earlier events; some may be empty."""
    n_events = dataset.log.by_user.counts(queries.users, queries.times)
    return {name: (n_events >= fewest) & (n_events <= most) for name, (fewest, most) in MEMORY_SLICES.items()}


def positive_slices(
    dataset: Dataset, queries: Queries, test_from: int, without: Float64Array, with_: Float64Array
) -> dict[str, PositiveSlice]:
    """Recall@10 of cold positives (no event before the test), positives by the item's age at the query, and repeats.

    `without`, `with_`: ranks of the positives under both rankers. A slice without positives is left out.
    """
    log = dataset.log
    items = queries.positives.values
    times = queries.times[queries.positives.row_index]
    cold = log.by_item.counts(items, np.full(len(items), test_from + 1)) == 0
    known = log.by_item.counts(items, times) > 0
    # An item without an event has no age: its first event is never.
    first_event = np.full(len(items), np.iinfo(np.int64).max)
    first_event[known] = log.times[log.by_item.order[log.by_item.starts(items[known])]]
    young = known & (times - first_event < YOUNG_SHARE * dataset.config.counters.span)
    masks = {"cold items": cold, "warm items": ~cold, "item young": young, "item old": known & ~young}
    if dataset.config.repeats:
        had = dataset.reads.seen(queries.users, queries.times).take(queries.positives.row_index)
        is_repeated = np.zeros(len(items), bool)
        is_repeated[had.row_index[had.values == items[had.row_index]]] = True
        masks |= {REPEATED_ITEMS: is_repeated, FIRST_ITEMS: ~is_repeated}
    return {
        name: PositiveSlice.of_recall(without, with_, queries.positives, among=mask)
        for name, mask in masks.items()
        if mask.any()
    }
