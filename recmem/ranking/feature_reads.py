"""What features are read from: the pairs of some queries, with the dataset and the match as of each query's time.

Every function below is a read that one or several features use. It takes the `FeatureReads` of some pairs and gives one
column, or several by the name of their feature: float32[pair], or float32[query] for features of the query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch

from feature_store.arrays import Float32Array, IntArray
from feature_store.point_in_time.counters import item_counters, user_counters
from feature_store.point_in_time.covisitation import FEATURES as COVISITATION_FEATURES
from feature_store.point_in_time.covisitation import Covisitation
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.matcher import Matcher

T = TypeVar("T")
FeatureColumns = Mapping[str, Float32Array]
"""Several columns by the name of their feature."""


@dataclass(frozen=True, eq=False)
class FeatureReads:
    """The pairs whose features are computed, and the data that these are computed from."""

    dataset: Dataset
    """`dataset.reads` is the event log as of any time, see `feature_store.point_in_time.as_of_reads.AsOf`."""
    matcher: Matcher
    queries: QueryBatch
    candidates: Ragged
    """Per query the rows of its candidates. Rows from `len(dataset.catalogue)` on are texts that are not in it."""
    _results: dict[object, object] = field(default_factory=dict, repr=False)

    def once(self, read: Callable[[FeatureReads], T]) -> T:
        """`read(self)`, computed on the first call only: features that share a read call it through this."""
        if read not in self._results:
            self._results[read] = read(self)
        return self._results[read]  # type: ignore[return-value]

    @cached_property
    def query_of_pair(self) -> IntArray:
        """int64[pair]"""
        return self.candidates.row_index

    @cached_property
    def pair_times(self) -> IntArray:
        """The time of each pair's query, microseconds: int64[pair]. A feature may use what was known before it."""
        return self.queries.times[self.query_of_pair]


def read_match(reads: FeatureReads) -> FeatureColumns:
    """The features in `MATCH_FEATURES`."""
    return reads.matcher.pair_features(reads.queries.histories, reads.candidates)


def read_covisitation(reads: FeatureReads) -> FeatureColumns:
    """How each candidate goes with its query's history; 0 for texts that are not in the catalogue."""
    n_pairs = len(reads.candidates.values)
    columns = {name: np.zeros(n_pairs, np.float32) for name in COVISITATION_FEATURES}
    for rows, histories, model in covisitation_by_refresh(reads.dataset, reads.queries):
        pairs = reads.candidates.index_of(rows)
        scores = model.pair_scores(histories, reads.candidates.take(rows), n_threads=torch.get_num_threads())
        for name, column in scores.items():
            columns[name][pairs] = column
    return columns


def covisitation_by_refresh(
    dataset: Dataset, queries: QueryBatch
) -> Iterator[tuple[IntArray, Histories, Covisitation]]:
    """For each co-visitation model in use: the rows of its queries, their histories of catalogue items, the model."""
    n_items = len(dataset.catalogue)
    refresh_of_query = dataset.timeline.periods(queries.times)
    for refresh in np.unique(refresh_of_query):
        rows = np.flatnonzero(refresh_of_query == refresh)
        histories = _of_catalogue_items(queries.histories.take(rows), n_items)
        yield rows, histories, dataset.timeline.at(int(refresh))


def _of_catalogue_items(histories: Histories, n_items: int) -> Histories:
    """The histories without texts that are not in the catalogue."""
    item_rows = histories.items.values
    if not len(item_rows) or int(item_rows.max()) < n_items:
        return histories
    return histories.where(item_rows < n_items)


def read_item_counters(reads: FeatureReads) -> FeatureColumns:
    """Popularity in all windows, trend and age of each candidate.

    Many pairs of a batch share their item and time. These are counted once, unless the table that finds them would be
    larger than the pairs are many.
    """
    log = reads.dataset.reads
    config = reads.dataset.config.counters
    items = reads.candidates.values
    times, time_of_query = np.unique(reads.queries.times, return_inverse=True)
    n_items = int(items.max(initial=-1)) + 1
    n_cells = len(times) * n_items
    if n_cells > len(items):
        return item_counters(log, items, reads.pair_times, config)
    # A cell is a (time, item): cell = time * n_items + item.
    cell_of_pair = time_of_query[reads.query_of_pair] * n_items + items
    is_used = np.zeros(n_cells, bool)
    is_used[cell_of_pair] = True
    used = np.flatnonzero(is_used)
    counters = item_counters(log, used % n_items, times[used // n_items], config)
    number_of_pair = np.cumsum(is_used)[cell_of_pair] - 1
    return {name: column[number_of_pair] for name, column in counters.items()}


def read_click_through(reads: FeatureReads) -> FeatureColumns:
    """Impressions of each candidate, and the share of them that was clicked."""
    return reads.dataset.clicks.columns(reads.candidates.values, reads.pair_times)


def read_user_counters(reads: FeatureReads) -> FeatureColumns:
    """Events of each query's user, and the time since the last one: float32[query] each."""
    queries = reads.queries
    return user_counters(reads.dataset.reads, queries.users, queries.times, reads.dataset.config.counters)


def read_memory_size(reads: FeatureReads) -> Float32Array:
    """log(1 + events in the history) of each query: float32[query]."""
    return np.log1p(reads.queries.histories.items.lengths).astype(np.float32)


def read_item_attributes(reads: FeatureReads) -> FeatureColumns:
    """`item_<name>` for every numeric column of the items table, NaN for texts that are not in the catalogue."""
    catalogue = reads.dataset.catalogue
    items = reads.candidates.values
    in_catalogue = items < len(catalogue)
    columns: dict[str, Float32Array] = {}
    for name, numbers in catalogue.numbers().items():
        column = np.full(len(items), np.nan, np.float32)
        column[in_catalogue] = numbers[items[in_catalogue]]
        columns[f"item_{name}"] = column
    return columns
