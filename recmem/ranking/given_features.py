"""Features of the candidates that the caller gives for each query."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import numpy as np

from feature_store.arrays import Float32Array, IntArray
from feature_store.ragged import Ragged
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.matcher import Matcher
from recmem.ranking.feature_computation import FeatureContext
from recmem.ranking.pair_features import PairFeatures, compute_features

CHUNK_PAIRS = 100_000
"""Pairs whose features are computed at once: bounds the memory."""


def candidate_features(
    dataset: Dataset,
    matcher: Matcher,
    queries: QueryBatch,
    candidates: Ragged,
    on_progress: Callable[[int], None] | None = None,
    given: Mapping[str, Float32Array] = MappingProxyType({}),
) -> PairFeatures:
    """Features of each query's own candidates: rows of the matcher's tables, of which the first are the catalogue's.

    `given` is what they bring along, see `FeatureContext.given`.

    Computed in chunks of queries; `on_progress` gets the number of queries of each.
    """
    parts = []
    for rows in query_chunks(candidates, CHUNK_PAIRS):
        chunk = queries.take(rows)
        index = candidates.index_of(rows)
        brought = {name: column[index] for name, column in given.items()}
        parts.append(compute_features(FeatureContext(dataset, matcher, chunk, candidates.take(rows), brought)))
        if on_progress is not None:
            on_progress(len(chunk))
    return PairFeatures.concat(parts)


def query_chunks(candidates: Ragged, n_pairs: int) -> Iterator[IntArray]:
    """Rows of consecutive queries with at most `n_pairs` pairs together; a query with more is a chunk of its own.

    At least one chunk, which is empty if there is no query.
    """
    offsets = candidates.offsets
    n_queries = len(candidates)
    begin = 0
    while True:
        last_fitting = int(np.searchsorted(offsets, offsets[begin] + n_pairs, side="right")) - 1
        end = min(max(last_fitting, begin + 1), n_queries)
        yield np.arange(begin, end)
        begin = end
        if begin >= n_queries:
            return
