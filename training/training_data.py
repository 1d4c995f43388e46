"""What all steps of a run read: the dataset, the text vectors, the cuts and the queries with their candidates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from jaxtyping import Float
from torch import Tensor

from feature_store import DataError, EventLog, Store
from feature_store.arrays import Int8Array, IntArray
from feature_store.point_in_time.counters import CounterConfig
from feature_store.point_in_time.event_log import rows_of
from feature_store.ragged import Ragged
from recmem.dataset.catalogue import Catalogue, numeric_columns
from recmem.dataset.dataset import Dataset, DatasetConfig
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.matcher import Matcher
from recmem.ranking.given_candidates import candidate_features
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.retrieved_candidates import CatalogueScores, retrieved_features
from recmem.text.encoder import TextEncoder
from recmem.text.item_text import text_columns
from recmem.text.unit_vectors import exact_units
from recmem.text.vector_cache import VECTORS_FOLDER, VectorCache
from training.config import TrainingConfig
from training.fitting.fit_ranker import RankingData
from training.queries import Queries, queries_between
from training.splits import Split, split_times


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The store's tables as one run reads them."""

    dataset: Dataset
    unit: Float[Tensor, "item dim"]
    split: Split
    fingerprint: str
    shown: ImpressionQueries | None
    """The impressions, where there are any."""


@dataclass(frozen=True, eq=False)
class ImpressionQueries:
    """Impressions as queries: what was shown, and what of it was clicked."""

    users: IntArray
    times: IntArray
    candidates: Ragged
    labels: Int8Array

    @classmethod
    def of(cls, dataset: Dataset) -> ImpressionQueries | None:
        """The impressions of a dataset; None where it has none."""
        table = dataset.impressions
        if not len(table):
            return None
        rows = rows_of(table["item_id"], dataset.catalogue.ids)
        known = table.with_columns(item=rows, user=rows_of(table["user_id"], dataset.users)).filter(rows >= 0)
        ordered = known.sort("timestamp", "impression_id", "position", "item_id", nulls_last=True, maintain_order=True)
        groups = ordered.group_by("impression_id", maintain_order=True).agg(
            "item", "label", user=pl.col("user").first(), time=pl.col("timestamp").first()
        )
        groups = groups.sort("time", "impression_id")
        return cls(
            users=groups["user"].to_numpy().copy(),
            times=groups["time"].dt.epoch("us").to_numpy().copy(),
            candidates=Ragged.from_lists(groups["item"].to_list()),
            labels=groups["label"].explode().to_numpy().astype(np.int8),
        )

    def between(self, begin: int, end: int) -> ImpressionQueries:
        """The impressions with `begin < timestamp <= end`."""
        return self.take(np.flatnonzero((self.times > begin) & (self.times <= end)))

    def queries(self) -> Queries:
        """Who was shown them, when, and what was clicked."""
        liked = self.labels > 0
        lengths = np.bincount(self.candidates.row_index[liked], minlength=self.candidates.n_rows)
        return Queries(self.users, self.times, Ragged.from_lengths(self.candidates.values[liked], lengths))

    def take(self, rows: IntArray) -> ImpressionQueries:
        """The given impressions, in the given order."""
        index = self.candidates.index_of(rows)
        return ImpressionQueries(self.users[rows], self.times[rows], self.candidates.take(rows), self.labels[index])

    def spread(self, limit: int) -> ImpressionQueries:
        """At most `limit` impressions, evenly spread over time."""
        n = len(self.users)
        return self if n <= limit else self.take(np.linspace(0, n - 1, limit).astype(np.int64))


def read_training_data(
    store: Store, config: TrainingConfig, *, encoder: TextEncoder | None, on_text: Callable[[int], None] | None = None
) -> TrainingData:
    """Reads the store; encodes the texts that its cache lacks.

    Raises DataError when the store lacks items, events, texts, or enough moments to cut.
    """
    items, events = store.items(), store.events()
    for name, table in (("items", items), ("events", events)):
        if not len(table):
            raise DataError(f"{name}: expected rows, got an empty table. Ingest {name} first.")
    columns = tuple(text_columns(items))
    if not columns:
        raise DataError("items: expected at least one text column, got none. Add a title or a description.")
    catalogue = Catalogue.of(items, columns, numeric_columns(items))
    impressions = store.impressions()
    log = EventLog.from_frame(events, events["user_id"].unique().sort(), catalogue.ids, config.signals)
    split = split_times(_query_times(log, impressions), config.split)
    dataset = Dataset.of(catalogue, events, impressions, _dataset_config(log, split, config))
    encoder = encoder or TextEncoder.load(config.encoder)
    cache = VectorCache(f"{store.path}/{VECTORS_FOLDER}", encoder.fingerprint, encoder.dim)
    unit = cache.get_or_encode(catalogue.texts, encoder, on_progress=on_text)
    return TrainingData(dataset, exact_units(unit), split, encoder.fingerprint, ImpressionQueries.of(dataset))


def ranking_data(
    training_data: TrainingData,
    matcher: Matcher,
    begin: int,
    end: int,
    limit: int,
    config: TrainingConfig,
    on_query: Callable[[int], None] | None = None,
) -> tuple[Queries, RankingData]:
    """Queries with `begin < timestamp <= end`, evenly spread, and their candidates: what was shown, else retrieved."""
    if training_data.shown is not None:
        shown = training_data.shown.between(begin, end).spread(limit)
        batch = QueryBatch.of(training_data.dataset, shown.users, shown.times)
        pairs = candidate_features(training_data.dataset, matcher, batch, shown.candidates, on_query)
        return shown.queries(), RankingData(pairs, shown.labels)
    queries = queries_between(
        training_data.dataset.log_at(end), begin, end, cancelled=training_data.dataset.cancelled
    ).spread(limit)
    return queries, retrieved_data(training_data, matcher, queries, config, on_query)


def retrieved_data(
    training_data: TrainingData,
    matcher: Matcher,
    queries: Queries,
    config: TrainingConfig,
    on_query: Callable[[int], None] | None = None,
    on_scores: Callable[[QueryBatch, CatalogueScores], None] | None = None,
) -> RankingData:
    """The retrieved candidates of the queries, with labels; empty for no query."""
    batch = QueryBatch.of(training_data.dataset, queries.users, queries.times)
    pairs = retrieved_features(training_data.dataset, matcher, batch, config.retrieval, on_query, on_scores)
    return RankingData(pairs, labels_of(pairs, queries))


def labels_of(pairs: PairFeatures, queries: Queries) -> Int8Array:
    """1 for each pair whose candidate is among its query's positives."""
    n_items = int(max(pairs.candidates.values.max(initial=0), queries.positives.values.max(initial=0))) + 1
    wanted = queries.positives.row_index * n_items + queries.positives.values
    return np.isin(pairs.candidates.row_index * n_items + pairs.candidates.values, wanted).astype(np.int8)


def moment(time: int) -> str:
    """A time in microseconds as ISO 8601, UTC."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)).isoformat()


def _query_times(log: EventLog, impressions: pl.DataFrame) -> IntArray:
    return impressions["timestamp"].dt.epoch("us").to_numpy() if len(impressions) else log.times


def _dataset_config(log: EventLog, split: Split, config: TrainingConfig) -> DatasetConfig:
    return DatasetConfig(
        signals=config.signals,
        counters=CounterConfig.from_log(log.until(split.test_from + 1)),
        covisitation=config.covisitation,
        refresh_origin=split.ranker_from,
        refresh_every=split.refresh,
    )
