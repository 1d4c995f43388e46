"""Features of the candidates that are retrieved for each query from the whole catalogue."""

from __future__ import annotations

from collections.abc import Callable

from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.matcher import Matcher
from recmem.ranking.feature_computation import FeatureContext
from recmem.ranking.pair_features import PairFeatures, compute_features
from recmem.retrieval.interleave import RetrievalConfig
from recmem.retrieval.retrieve import CatalogueScores, retrieve


def retrieved_features(
    dataset: Dataset,
    matcher: Matcher,
    queries: QueryBatch,
    config: RetrievalConfig,
    on_progress: Callable[[int], None] | None = None,
    on_scores: Callable[[QueryBatch, CatalogueScores], None] | None = None,
) -> PairFeatures:
    """Features of the retrieved candidates of each query; see `recmem.retrieval.retrieve.retrieve`."""
    parts = []
    for found in retrieve(dataset, matcher, queries, config, on_progress, on_scores):
        context = FeatureContext(dataset, matcher, found.queries, found.candidates)
        # Those that items were retrieved by are not computed again. Rankers are fitted on the features in this order,
        # and LightGBM draws features by their position.
        parts.append(compute_features(context, found.features))
    return PairFeatures.concat(parts)
