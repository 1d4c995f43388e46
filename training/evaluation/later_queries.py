"""Queries after all that a model has learned from, and what was taken up: a change of its serving is priced by them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_store import DataError
from feature_store.arrays import Float64Array
from feature_store.timestamps import iso_time
from recmem.dataset.query_batch import QueryBatch
from recmem.ranking.features import PairFeatures, candidate_features, retrieved_features
from recmem.serving.model import Model
from training.evaluation.evaluate import END_OF_TIME
from training.evaluation.metrics import PerQuery, impression_metrics, ndcg
from training.evaluation.positive_ranks import retrieved_ranks
from training.fitting.fit_ranker import RankingData
from training.queries import ImpressionQueries, Queries, queries_between
from training.training_data import labels_of

METRIC = "ndcg@10"


@dataclass(frozen=True, eq=False)
class LaterQueries:
    """The queries and their labels: of impressions where there are any, else new items from the whole catalogue."""

    model: Model
    queries: Queries
    shown: ImpressionQueries | None

    @classmethod
    def of(cls, model: Model, limit: int) -> LaterQueries:
        """At most `limit` queries, evenly spread; DataError where the store holds none."""
        begin, shown = model.bundle.config.learned_until, ImpressionQueries.of(model.dataset)
        if shown is None:
            queries = queries_between(model.dataset.log, begin, END_OF_TIME, cancelled=model.dataset.cancelled)
            found = cls(model, queries.spread(limit), None)
        else:
            late = shown.between(begin, END_OF_TIME).spread(limit)
            found = cls(model, late.queries(), late)
        if not len(found.queries):
            raise DataError(
                f"events.timestamp: expected queries after {found.since}, got none. Ingest what has come since."
            )
        return found

    @property
    def since(self) -> str:
        """Where they begin, ISO 8601."""
        return iso_time(self.model.bundle.config.learned_until)

    def pairs(self, batch: QueryBatch) -> PairFeatures:
        """The queries' candidates, with columns as they are read for `batch`."""
        model = self.model
        if self.shown is not None:
            return candidate_features(model.dataset, model.matcher, batch, self.shown.candidates)
        return retrieved_features(model.dataset, model.matcher, batch, model.bundle.config.retrieval)

    def ndcg(self, pairs: PairFeatures, scores: Float64Array, seed: int) -> PerQuery:
        """NDCG@10 of each query, its candidates ranked by these scores; ties are broken by the seed."""
        generator = np.random.default_rng(seed)
        if self.shown is not None:
            return impression_metrics(scores, self.shown.labels, pairs.candidates.offsets, generator=generator)[METRIC]
        data, positives = RankingData(pairs, labels_of(pairs, self.queries)), self.queries.positives
        return ndcg(retrieved_ranks(scores, data, positives, generator), positives.offsets, k=10)
