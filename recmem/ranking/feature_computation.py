"""How features are computed, from the pairs of some queries with the dataset and the match as of each query's time.

Each function below serves one or several features of the table. It takes the `FeatureContext` of some pairs and returns
one column, or several by the name of their feature: float32[pair], or float32[query] for features of the query.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar, cast

import numpy as np
import torch

from feature_store.arrays import Float32Array, IntArray
from feature_store.point_in_time.counters import item_counters, user_counters
from feature_store.point_in_time.covisitation import FEATURES as COVISITATION_FEATURES
from feature_store.ragged import Ragged
from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.covisitation_models import covisitation_by_refresh
from recmem.dataset.dataset import Dataset
from recmem.dataset.items_had import ItemsHad
from recmem.dataset.query_batch import QueryBatch
from recmem.dataset.shared_facts import pair_facts
from recmem.matching.interests_similarity import interest_pair_scores
from recmem.matching.matcher import Matcher
from recmem.matching.shown_similarity import shown_pair_similarities

T = TypeVar("T")
CANDIDATE_PREFIX = "candidates."
"""Begins the name of a feature that is a column of numbers of the candidates, and of no other."""
CATEGORY_PREFIX = "categories."
"""Likewise for a column of text: LightGBM reads the places of its values in a vocabulary as categories."""
USER_PREFIX = "users."
"""Likewise for a column of numbers of the users table."""
USER_CATEGORY_PREFIX = "user_categories."
"""Likewise for a column of text of the users table, whose values are categories."""
FeatureColumns = Mapping[str, Float32Array]
"""Several columns by the name of their feature."""


@dataclass(frozen=True, eq=False)
class FeatureContext:
    """The pairs whose features are computed, and the data that these are computed from."""

    dataset: Dataset
    """`dataset.reads` is the event log as of any time, see `feature_store.point_in_time.read_protocol.AsOf`."""
    matcher: Matcher
    queries: QueryBatch
    candidates: Ragged
    """Per query the rows of its candidates. Rows from `len(dataset.catalogue)` on are texts that are not in it."""
    given: Mapping[str, Float32Array] = field(default_factory=dict, repr=False)
    """What the candidates bring along: float32[pair] by the name of a `CandidateFeature`; empty for items that recmem
    has retrieved itself."""
    _results: dict[object, object] = field(default_factory=dict, repr=False)

    def once(self, compute: Callable[[FeatureContext], T]) -> T:
        """`compute(self)`, run on the first call only: features that share a computation call it through this."""
        if compute not in self._results:
            self._results[compute] = compute(self)
        return cast(T, self._results[compute])

    @cached_property
    def query_of_pair(self) -> IntArray:
        """int64[pair]"""
        return self.candidates.row_index

    @cached_property
    def pair_times(self) -> IntArray:
        """The time of each pair's query, microseconds: int64[pair]. A feature may use what was known before it."""
        return self.queries.times[self.query_of_pair]


def compute_match(context: FeatureContext) -> FeatureColumns:
    """The features in `MATCH_FEATURES`."""
    return context.matcher.pair_features(context.queries.histories, context.candidates)


def compute_covisitation(context: FeatureContext) -> FeatureColumns:
    """How each candidate goes with its query's history; 0 for texts that are not in the catalogue."""
    n_pairs = len(context.candidates.values)
    columns = {name: np.zeros(n_pairs, np.float32) for name in COVISITATION_FEATURES}
    for rows, histories, model in covisitation_by_refresh(context.dataset, context.queries):
        pairs = context.candidates.index_of(rows)
        scores = model.pair_scores(histories, context.candidates.take(rows), n_threads=torch.get_num_threads())
        for name, column in scores.items():
            columns[name][pairs] = column
    return columns


def compute_item_counters(context: FeatureContext) -> FeatureColumns:
    """Popularity in all windows, trend and age of each candidate.

    Many pairs of a batch share their item and time. These are counted once, unless the table that finds them would be
    larger than the pairs are many.
    """
    log = context.dataset.reads
    config = context.dataset.config.counters
    items = context.candidates.values
    times, time_of_query = np.unique(context.queries.times, return_inverse=True)
    n_items = int(items.max(initial=-1)) + 1
    n_cells = len(times) * n_items
    if n_cells > len(items):
        return item_counters(log, items, context.pair_times, config)
    # A cell is a (time, item): cell = time * n_items + item.
    cell_of_pair = time_of_query[context.query_of_pair] * n_items + items
    is_used = np.zeros(n_cells, bool)
    is_used[cell_of_pair] = True
    used = np.flatnonzero(is_used)
    counters = item_counters(log, used % n_items, times[used // n_items], config)
    number_of_pair = np.cumsum(is_used)[cell_of_pair] - 1
    return {name: column[number_of_pair] for name, column in counters.items()}


def compute_click_through(context: FeatureContext) -> FeatureColumns:
    """Impressions of each candidate, and the share of them that was clicked."""
    return context.dataset.clicks.features(context.candidates.values, context.pair_times)


def compute_user_counters(context: FeatureContext) -> FeatureColumns:
    """Events of each query's user, and the time since the last one: float32[query] each."""
    queries = context.queries
    return user_counters(context.dataset.reads, queries.users, queries.times, context.dataset.config.counters)


def compute_memory_size(context: FeatureContext) -> Float32Array:
    """log(1 + events in the history) of each query: float32[query]."""
    return np.log1p(context.queries.histories.items.lengths).astype(np.float32)


def compute_item_attributes(context: FeatureContext) -> FeatureColumns:
    """`items.<name>` for every numeric column of the items table, as of each query's time where it came with times.

    NaN for texts that are not in the catalogue.
    """
    dataset = context.dataset
    items = context.candidates.values
    in_catalogue = items < len(dataset.catalogue)
    columns: dict[str, Float32Array] = {}
    for name, numbers in dataset.item_numbers(items[in_catalogue], context.pair_times[in_catalogue]).items():
        column = np.full(len(items), np.nan, np.float32)
        column[in_catalogue] = numbers
        columns[f"items.{name}"] = column
    return columns


def compute_candidate_features(context: FeatureContext) -> FeatureColumns:
    """What the candidates bring along, by the names of the ranker's features; typical values if they bring nothing."""
    n_pairs = len(context.candidates.values)
    columns: dict[str, Float32Array] = {}
    for feature in context.dataset.config.candidate_features:
        values = context.given[feature.name] if context.given else feature.typical_values(n_pairs)
        columns[feature_name(feature)] = values
    return columns


def compute_user_attributes(context: FeatureContext) -> FeatureColumns:
    """What the users table says of each query's user as of its time: float32[query] by the names of the features."""
    dataset = context.dataset
    rows = dataset.profile_rows(context.queries.described_users, context.queries.times)
    return {user_feature_name(each): dataset.profiles.values(each, rows) for each in dataset.config.user_features}


def compute_repeats(context: FeatureContext) -> FeatureColumns:
    """How often each query's history has its candidate, and how long ago."""
    had = ItemsHad.of(context.queries.histories, context.candidates)
    since = np.maximum(context.pair_times - had.last_time, 0) / context.dataset.config.counters.short
    return {
        "times_had": np.log1p(had.times).astype(np.float32),
        "visits_since_had": np.where(had.is_had, np.log1p(had.visits_since), -1).astype(np.float32),
        "time_since_had": np.where(had.is_had, np.log1p(since), -1).astype(np.float32),
    }


def compute_interests_similarity(context: FeatureContext) -> Float32Array:
    """Cosine of each pair's candidate and the interests that its query's user has declared, NaN without any."""
    dataset = context.dataset
    interests = dataset.interest_rows(context.queries.described_users, context.queries.times)
    return interest_pair_scores(context.matcher, dataset.profiles.interests.vectors, interests, context.candidates)


def compute_facts(context: FeatureContext) -> FeatureColumns:
    """How strongly each candidate's facts are among those of its query's history; 0 for texts without an item."""
    return pair_facts(context.dataset.catalogue.facts, context.queries.histories, context.candidates)


def compute_shown_similarity(context: FeatureContext) -> Float32Array:
    """The mean cosine of each candidate and those of its query."""
    return shown_pair_similarities(context.matcher, context.candidates)


def user_feature_name(feature: CandidateFeature) -> str:
    """What the ranker calls a column of the users table: `users.<name>`, or `user_categories.<name>` if it is text."""
    return (USER_PREFIX if feature.categories is None else USER_CATEGORY_PREFIX) + feature.name


def feature_name(feature: CandidateFeature) -> str:
    """What the ranker calls a column of the candidates: `candidates.<name>`, or `categories.<name>` if it is text."""
    return (CANDIDATE_PREFIX if feature.categories is None else CATEGORY_PREFIX) + feature.name
