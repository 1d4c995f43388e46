"""Ranks of the test's positives under each ranking, and what becomes of them: figures per query and slices."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from feature_store.arrays import BoolArray, Float32Array, Float64Array, IntArray
from feature_store.ragged import Ragged
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.ranking.retrieved_candidates import CatalogueScores, seen_items
from training.evaluation.baselines import popularity_features
from training.evaluation.ledger import PositiveSlice
from training.evaluation.metrics import PerQuery, catalogue_metrics, rank_of_rows
from training.fitting.fit_ranker import RankingData
from training.queries import Queries

MEMORY_SLICES = {"memory 1-5": (1, 5), "memory 6-20": (6, 20), "memory 21+": (21, np.inf)}
"""Events of the user before the query."""
YOUNG_SHARE = 1 / 12
"""An item younger than this share of the log before the test is young."""


@dataclass(frozen=True, eq=False)
class CatalogueRanks:
    """Ranks of the positives of all queries, one array per ranking; `inf` where a positive was not retrieved."""

    ranks: dict[str, Float64Array]
    positives: Ragged
    n_candidates: IntArray
    """Items that each query ranks: the catalogue less what the user has."""
    n_retrieved: IntArray
    """Candidates of the rankers."""

    def metrics(self, name: str, *, retrieved: bool) -> dict[str, PerQuery]:
        """Figures of each query under one ranking."""
        counts = self.n_retrieved if retrieved else None
        return catalogue_metrics(self.ranks[name], self.positives.offsets, self.n_candidates, n_retrieved=counts)


@dataclass(eq=False)
class GridRanks:
    """Collects the ranks of the positives in the whole catalogue, chunk by chunk of queries."""

    dataset: Dataset
    queries: Queries
    rows: dict[str, str]
    """Row of the ledger -> the column that ranks it."""
    test_from: int
    exclude_seen: bool
    generator: np.random.Generator
    ranks: dict[str, list[Float64Array]] = field(default_factory=dict)
    n_ranked: list[int] = field(default_factory=list)
    """Items that each query so far ranks."""

    def __call__(self, batch: QueryBatch, grid: CatalogueScores) -> None:
        """Ranks the next chunk's positives under every row."""
        begin, n_items = len(self.n_ranked), len(self.dataset.catalogue)
        positives = self.queries.positives.take(np.arange(begin, begin + len(batch)))
        every = Ragged.from_lists([np.arange(n_items)])
        fixed = popularity_features(self.dataset.log, self.test_from, every)
        grid = grid | {name: np.broadcast_to(column, (len(batch), n_items)) for name, column in fixed.items()}
        seen = seen_items(self.dataset, batch) if self.exclude_seen else None
        taken = [0] * len(batch) if seen is None else [len(np.unique(row)) for row in seen.to_lists()]
        self.n_ranked += [n_items - n_taken for n_taken in taken]
        for name, column in self.rows.items():
            self.ranks.setdefault(name, []).append(_ranks(grid[column], seen, positives, self.generator))


def _ranks(grid: Float32Array, seen: Ragged | None, positives: Ragged, generator: np.random.Generator) -> Float64Array:
    scores = grid.copy()
    if seen is not None:
        scores[seen.row_index, seen.values] = -np.inf
    n_items = scores.shape[1]
    offsets = np.arange(len(scores) + 1) * n_items
    return rank_of_rows(scores.ravel(), offsets, positives.row_index * n_items + positives.values, generator=generator)


def retrieved_ranks(
    scores: Float64Array, data: RankingData, positives: Ragged, generator: np.random.Generator
) -> Float64Array:
    """Ranks of the positives among the retrieved candidates, `inf` for those not retrieved."""
    candidates = data.pairs.candidates
    n_items = int(max(candidates.values.max(initial=0), positives.values.max(initial=0))) + 1
    keys = candidates.row_index * n_items + candidates.values
    order = np.argsort(keys)
    wanted = positives.row_index * n_items + positives.values
    if not len(keys):
        return np.full(len(wanted), np.inf)
    place = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    rows = np.where(keys[order][place] == wanted, order[place], -1)
    return rank_of_rows(scores, candidates.offsets, rows, generator=generator)


def recall_at(data: RankingData, positives: Ragged, k: int) -> float:
    """Share of the positives among the first `k` retrieved candidates of their query."""
    place = np.arange(len(data.labels)) - data.pairs.candidates.offsets[data.pairs.candidates.row_index]
    return float(data.labels[place < k].sum() / max(len(positives.values), 1))


def query_slices(dataset: Dataset, queries: Queries) -> dict[str, BoolArray]:
    """Masks over queries by the length of the memory."""
    n_events = dataset.log.by_user.counts(queries.users, queries.times)
    return {name: (n_events >= low) & (n_events <= high) for name, (low, high) in MEMORY_SLICES.items()}


def positive_slices(
    dataset: Dataset, queries: Queries, test_from: int, without: Float64Array, with_: Float64Array
) -> dict[str, PositiveSlice]:
    """Recall@10 of cold positives (no event before the test), and of positives by the item's age at the query."""
    rows, times = queries.positives.values, queries.times[queries.positives.row_index]
    log = dataset.log
    cold = log.by_item.counts(rows, np.full(len(rows), test_from + 1)) == 0
    known = log.by_item.counts(rows, times) > 0
    first = np.full(len(rows), np.iinfo(np.int64).max)
    first[known] = log.times[log.by_item.order[log.by_item.starts(rows[known])]]
    young = known & (times - first < YOUNG_SHARE * dataset.config.counters.span)
    masks = {"cold items": cold, "warm items": ~cold, "item young": young, "item old": known & ~young}
    offsets = queries.positives.offsets
    return {
        name: PositiveSlice.of_recall(without, with_, offsets, among=mask) for name, mask in masks.items() if mask.any()
    }
