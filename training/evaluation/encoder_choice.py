"""Whether a tuned encoder is kept: the match alone, measured on a part of the log that nothing has learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from feature_store.arrays import BoolArray
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.match_module import MatchModule
from recmem.matching.matcher import Matcher
from recmem.matching.user_memory import MemoryConfig
from recmem.retrieval.retrieve import seen_items
from training.evaluation.cold_items import buries_cold_items, cold_positives, cold_recall
from training.evaluation.intervals import paired_bootstrap
from training.evaluation.metrics import PerQuery, mean_over_queries, ndcg
from training.evaluation.ranks import PerPositive, rank_of_rows
from training.queries import Queries, queries_between

FEWEST_QUERIES = 20
"""Held-out queries below which nothing is decided, and the encoder stays frozen."""
ONE_SIDED_90 = (10.0, 100.0)
"""Percentiles of the bootstrap: the lower end bounds the difference from below with 90% confidence."""
CELLS = 20_000_000
"""Slots x items that are scored at once."""
K = 10


@dataclass(frozen=True, eq=False)
class HeldOutFigures:
    """How well a match module and its vectors rank the held-out queries."""

    ranks: PerPositive
    """Of the queries' positives, in the whole catalogue without what the user has."""
    ndcg: PerQuery
    """NDCG@10 of each query, of these ranks."""

    @property
    def mean(self) -> float:
        """NDCG@10, the mean over the queries."""
        return mean_over_queries(self.ndcg)


@dataclass(frozen=True)
class EncoderChoice:
    """The decision and the figures that it rests on."""

    is_tuned: bool
    why: str
    """What decided, as the end of a sentence."""
    n_queries: int
    n_cold: int
    """Held-out positives whose items have no event before the held-out part."""
    frozen_ndcg: float = 0.0
    tuned_ndcg: float = 0.0
    low: float = 0.0
    """Lower bound of the difference in NDCG@10, one-sided, 90%."""
    frozen_cold: float = 0.0
    """Recall@10 of these positives."""
    tuned_cold: float = 0.0


@dataclass(frozen=True, eq=False)
class HeldOutPart:
    """The queries that decide."""

    dataset: Dataset
    queries: Queries
    is_cold: BoolArray
    """bool[positive]: the item has no event before the part."""
    memory: MemoryConfig
    seed: int

    @classmethod
    def between(
        cls, dataset: Dataset, begin: int, end: int, *, limit: int, memory: MemoryConfig, seed: int
    ) -> HeldOutPart:
        """At most `limit` queries with `begin < timestamp <= end`, evenly spread."""
        queries = queries_between(dataset.log_at(end), begin, end, cancelled=dataset.cancelled).spread(limit)
        is_cold = cold_positives(dataset.log, queries, np.full(len(queries), begin))
        return cls(dataset, queries, is_cold, memory, seed)

    @property
    def is_enough(self) -> bool:
        """Whether there are enough queries to decide."""
        return len(self.queries) >= FEWEST_QUERIES

    def figures(self, module: MatchModule, vectors: Float[Tensor, "item width"]) -> HeldOutFigures:
        """The queries ranked by the match alone; the module is in evaluation mode, `vectors` on its device."""
        matcher = Matcher.of(module, vectors, self.memory)
        generator = np.random.default_rng(self.seed)
        n_items = len(vectors)
        n_queries = max(CELLS // (self.memory.n_events * n_items), 1)
        ranks = []
        for start in range(0, len(self.queries), n_queries):
            queries = self.queries.take(np.arange(start, min(start + n_queries, len(self.queries))))
            batch = QueryBatch.of(self.dataset, queries.users, queries.times)
            with torch.inference_mode():
                slots = matcher.slots(batch.histories)
                scores = module(matcher.tables, slots, torch.arange(n_items, device=matcher.device)).cpu().numpy()
            seen = seen_items(self.dataset, batch)
            scores[seen.row_index, seen.values] = -np.inf
            rows = queries.positives.row_index * n_items + queries.positives.values
            offsets = np.arange(len(queries) + 1) * n_items
            ranks.append(rank_of_rows(scores.ravel(), offsets, rows, generator=generator))
        all_ranks = np.concatenate(ranks)
        return HeldOutFigures(all_ranks, ndcg(all_ranks, self.queries.positives.offsets, k=K))

    def choose(self, frozen: HeldOutFigures, tuned: HeldOutFigures) -> EncoderChoice:
        """The rule: NDCG@10 must be higher beyond doubt, and the tuned encoder must not bury cold items.

        Beyond doubt: the lower end of the one-sided 90% interval of the difference, a paired bootstrap over users, is
        above zero. Cold items are judged as where text features pass their test, see `training.evaluation.held_out`:
        Recall@10 of positives without earlier events must not be significantly lower.
        """
        generator = np.random.default_rng(self.seed)
        gain = paired_bootstrap(
            frozen.ndcg, tuned.ndcg, groups=self.queries.users, percentiles=ONE_SIDED_90, generator=generator
        )
        cold = cold_recall(self.queries, self.is_cold, frozen.ranks, tuned.ranks, generator=generator)
        is_gain = gain.low > 0
        buries_cold = buries_cold_items(cold)
        if not is_gain:
            why = "the gain is not beyond doubt"
        elif buries_cold:
            why = "it finds significantly fewer of the items that have no events yet"
        else:
            why = "the gain is beyond doubt, and it does not find significantly fewer of the items without events"
        return EncoderChoice(
            is_tuned=is_gain and not buries_cold,
            why=why,
            n_queries=len(self.queries),
            n_cold=int(self.is_cold.sum()),
            frozen_ndcg=frozen.mean,
            tuned_ndcg=tuned.mean,
            low=gain.low,
            frozen_cold=cold.without if cold else 0.0,
            tuned_cold=cold.with_ if cold else 0.0,
        )

    def too_small(self) -> EncoderChoice:
        """The decision where there are too few queries."""
        return self._frozen(f"only {len(self.queries)} held-out queries could decide, fewer than {FEWEST_QUERIES}")

    def diverged(self) -> EncoderChoice:
        """The decision where tuning gave no encoder to measure."""
        return self._frozen("tuning did not converge")

    def _frozen(self, why: str) -> EncoderChoice:
        return EncoderChoice(False, why, len(self.queries), int(self.is_cold.sum()))
