"""Queries after everything that a model was trained on: the test set for costs of serving (staleness, cascades)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from feature_store import DataError
from feature_store.arrays import Float64Array
from feature_store.point_in_time.read_protocol import END_OF_TIME
from feature_store.timestamps import iso_time
from recmem.dataset.query_batch import QueryBatch
from recmem.ranking.given_features import candidate_features
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.retrieved_features import retrieved_features
from recmem.serving.bundle import BundleConfig, read_config
from recmem.serving.model import Model
from training.evaluation.catalogue_ranks import retrieved_ranks
from training.evaluation.ledger import HEADLINE_METRIC
from training.evaluation.metrics import PerQuery, impression_metrics, ndcg
from training.fitting.fit_ranker import RankingData
from training.queries import ImpressionQueries, Queries, queries_of
from training.training_data import labels_of

MEASURED_BUNDLE = "measured_bundle"
"""Beside the folder of a refitted bundle: the model before that, which the training's figures are of."""


@dataclass(frozen=True, eq=False)
class QueriesAfterTraining:
    """The queries and their labels: impressions if the store has any, else new items from the whole catalogue."""

    model: Model
    queries: Queries
    impressions: ImpressionQueries | None

    @classmethod
    def of(cls, model: Model, limit: int, *, begin: int | None = None, end: int = END_OF_TIME) -> QueriesAfterTraining:
        """At most `limit` queries, evenly spread over time; DataError if the store holds none.

        They lie between `begin`, by default when the model's training data ends, and `end`, in microseconds.
        """
        begin = model.bundle.config.learned_until if begin is None else begin
        impressions = ImpressionQueries.of(model.dataset)
        if impressions is None:
            after = cls(model, queries_of(model.dataset, begin, end).spread(limit), None)
        else:
            impressions = impressions.between(begin, end).spread(limit)
            after = cls(model, impressions.queries(), impressions)
        if not len(after.queries):
            raise DataError(
                f"events.timestamp: expected queries after {after.since}, got none. "
                "Ingest events that happened after it. If the model was refitted on the whole log, give the one that "
                "was measured: OUT/measured_bundle of its training."
            )
        return after

    @property
    def since(self) -> str:
        """When the model's training data ends, ISO 8601."""
        return iso_time(self.model.bundle.config.learned_until)

    def pairs(self, batch: QueryBatch) -> PairFeatures:
        """The queries' candidates, with features as they are read for `batch`."""
        model = self.model
        if self.impressions is not None:
            shown = self.impressions
            return candidate_features(model.dataset, model.matcher, batch, shown.candidates, given=shown.given_features)
        return retrieved_features(model.dataset, model.matcher, batch, model.bundle.config.retrieval)

    def ndcg(self, pairs: PairFeatures, scores: Float64Array, seed: int) -> PerQuery:
        """NDCG@10 of each query, its candidates ranked by these scores; the seed breaks ties."""
        generator = np.random.default_rng(seed)
        if self.impressions is not None:
            offsets = pairs.candidates.offsets
            figures = impression_metrics(scores, self.impressions.labels, offsets, generator=generator)
            return figures[HEADLINE_METRIC]
        data = RankingData(pairs, labels_of(pairs, self.queries))
        positives = self.queries.positives
        return ndcg(retrieved_ranks(scores, data, positives, generator), positives.offsets, k=10)


def has_later_queries(model: Model) -> bool:
    """Whether the store holds a query after the model's training data."""
    try:
        QueriesAfterTraining.of(model, 1)
    except DataError:
        return False
    return True


def measured_beside(bundle: Path, config: BundleConfig) -> Path | None:
    """The measured bundle beside a refitted one's folder, if it is of the same training; None if there is none."""
    folder = bundle.parent / MEASURED_BUNDLE
    try:
        measured = read_config(folder)
    except DataError:
        return None
    is_same = (measured.created, measured.store_versions) == (config.created, config.store_versions)
    return folder if is_same and measured.learned_until < config.learned_until else None
