"""Ranks of the test's positives in the whole catalogue: under each baseline, and among the retrieved candidates."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from feature_store.arrays import Float32Array, Float64Array, IntArray
from feature_store.ragged import Ragged
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.retrieval.retrieve import CatalogueScores, seen_items
from training.evaluation.baselines import popularity_features
from training.evaluation.metrics import PerQuery, catalogue_metrics
from training.evaluation.ranks import rank_of_rows
from training.fitting.fit_ranker import RankingData
from training.pair_keys import pair_keys
from training.queries import Queries


@dataclass(frozen=True, eq=False)
class CatalogueRanks:
    """Ranks of the positives of all queries, one array per ranking; `inf` where a positive was not retrieved."""

    ranks: dict[str, Float64Array]
    positives: Ragged
    n_candidates: IntArray
    """Items that each query ranks: the catalogue without those that the user has."""
    n_retrieved: IntArray
    """Candidates of each query that the rankers score."""

    def metrics(self, name: str, *, retrieved: bool) -> dict[str, PerQuery]:
        """Figures of each query under one ranking: of the retrieved candidates, or of the whole catalogue."""
        n_retrieved = self.n_retrieved if retrieved else None
        return catalogue_metrics(self.ranks[name], self.positives.offsets, self.n_candidates, n_retrieved=n_retrieved)


@dataclass(eq=False)
class CatalogueRankCollector:
    """Collects the ranks of the positives under each baseline, chunk by chunk of queries.

    `retrieved_features` calls it with the features of the whole catalogue, from which it retrieves candidates.
    """

    dataset: Dataset
    queries: Queries
    baselines: dict[str, str]
    """Row of the ledger -> the feature that ranks it."""
    test_from: int
    exclude_seen: bool
    generator: np.random.Generator
    """Breaks ties."""
    ranks: dict[str, list[Float64Array]] = field(default_factory=dict)
    n_ranked: list[int] = field(default_factory=list)
    """Items that each query so far ranks."""

    def __call__(self, batch: QueryBatch, grid: CatalogueScores) -> None:
        """Ranks the positives of the next chunk; `grid` is float32[query, item] by feature."""
        begin = len(self.n_ranked)
        n_queries = len(batch)
        positives = self.queries.positives.take(np.arange(begin, begin + n_queries))
        scores = grid | self._popularity(n_queries)
        excluded = seen_items(self.dataset, batch) if self.exclude_seen else None
        self._count_ranked(n_queries, excluded)
        for name, feature in self.baselines.items():
            ranks = _ranks(scores[feature], excluded, positives, self.generator)
            self.ranks.setdefault(name, []).append(ranks)

    def _popularity(self, n_queries: int) -> CatalogueScores:
        """Popularity before the test, the same for every query."""
        n_items = len(self.dataset.catalogue)
        every_item = Ragged.from_lists([np.arange(n_items)])
        by_item = popularity_features(self.dataset.log, self.test_from, every_item)
        return {name: np.broadcast_to(counts, (n_queries, n_items)) for name, counts in by_item.items()}

    def _count_ranked(self, n_queries: int, excluded: Ragged | None) -> None:
        n_items = len(self.dataset.catalogue)
        if excluded is None:
            self.n_ranked += [n_items] * n_queries
        else:
            # A user may have interacted with an item more than once.
            self.n_ranked += [n_items - len(np.unique(items)) for items in excluded.to_lists()]


def _ranks(
    grid: Float32Array, excluded: Ragged | None, positives: Ragged, generator: np.random.Generator
) -> Float64Array:
    """Ranks of the positives by the scores float32[query, item], with the excluded items last."""
    scores = grid.copy()
    if excluded is not None:
        scores[excluded.row_index, excluded.values] = -np.inf
    n_queries, n_items = scores.shape
    offsets = np.arange(n_queries + 1) * n_items
    rows = positives.row_index * n_items + positives.values
    return rank_of_rows(scores.ravel(), offsets, rows, generator=generator)


def retrieved_ranks(
    scores: Float64Array, data: RankingData, positives: Ragged, generator: np.random.Generator
) -> Float64Array:
    """Ranks of the positives among the retrieved candidates, `inf` for those not retrieved.

    `scores` float64[pair], one for each candidate of `data`.
    """
    candidates = data.pairs.candidates
    if not len(candidates.values):
        return np.full(len(positives.values), np.inf)
    candidate_keys, positive_keys = pair_keys(candidates, positives)
    order = np.argsort(candidate_keys)
    sorted_keys = candidate_keys[order]
    place = np.minimum(np.searchsorted(sorted_keys, positive_keys), len(sorted_keys) - 1)
    was_retrieved = sorted_keys[place] == positive_keys
    rows = np.where(was_retrieved, order[place], -1)
    return rank_of_rows(scores, candidates.offsets, rows, generator=generator)


def recall_at(data: RankingData, positives: Ragged, k: int) -> float:
    """Share of the positives among the first `k` retrieved candidates of their query."""
    candidates = data.pairs.candidates
    place = np.arange(len(data.labels)) - candidates.offsets[candidates.row_index]
    n_found = data.labels[place < k].sum()
    return float(n_found / max(len(positives.values), 1))
