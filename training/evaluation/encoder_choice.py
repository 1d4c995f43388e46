"""Whether a tuned encoder is kept: the match alone, measured on a part of the log that nothing has learned from.

The part's users are divided in two. When tuning stops, and which average of the weights is taken, is chosen on the
queries of one half, so that those of the other half, which decide, are not the ones that the encoder was picked for.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from training.queries import Queries, queries_of

FEWEST_QUERIES = 10
"""Held-out queries in each half below which nothing is decided, and the encoder stays frozen."""
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

    def mean(self, among: BoolArray) -> float:
        """NDCG@10, the mean over some of the queries."""
        return mean_over_queries(self.ndcg[among])


@dataclass(frozen=True)
class EncoderChoice:
    """The decision and the figures that it rests on."""

    is_tuned: bool
    why: str
    """What decided, as the end of a sentence."""
    n_queries: int
    """Held-out queries that decided."""
    n_cold: int
    """Of their positives, those whose items have no event before the held-out part."""
    frozen_ndcg: float = 0.0
    tuned_ndcg: float = 0.0
    low: float = 0.0
    """Lower bound of the difference in NDCG@10, one-sided, 90%."""
    frozen_cold: float = 0.0
    """Recall@10 of these positives."""
    tuned_cold: float = 0.0


@dataclass(frozen=True, eq=False)
class HeldOutPart:
    """The queries by which the encoder is picked, and those that decide whether it is kept."""

    dataset: Dataset
    queries: Queries
    is_cold: BoolArray
    """bool[positive]: the item has no event before the part."""
    decides: BoolArray
    """bool[query]: a query of the users that decide, not one of those that the encoder is picked by."""
    memory: MemoryConfig
    """As the modules have learned from it: what they have not learned from would only blur the figures."""
    seed: int

    @classmethod
    def between(
        cls, dataset: Dataset, begin: int, end: int, *, limit: int, memory: MemoryConfig, seed: int
    ) -> HeldOutPart:
        """At most `limit` queries with `begin < timestamp <= end`, evenly spread."""
        queries = queries_of(dataset, begin, end).spread(limit)
        is_cold = cold_positives(dataset.log, queries, np.full(len(queries), begin))
        users, user_of_query = np.unique(queries.users, return_inverse=True)
        is_second_half = np.random.default_rng(seed).permutation(len(users)) >= len(users) // 2
        return cls(dataset, queries, is_cold, is_second_half[user_of_query], memory, seed)

    @property
    def is_enough(self) -> bool:
        """Whether each half has enough queries."""
        n_deciding = int(self.decides.sum())
        return min(n_deciding, len(self.queries) - n_deciding) >= FEWEST_QUERIES

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
                everything = torch.arange(n_items, device=matcher.device)
                tables, slots, candidates = matcher.placed(matcher.slots(batch.histories), everything)
                scores = module(tables, slots, candidates).cpu().numpy()
            if not self.dataset.config.repeats:
                seen = seen_items(self.dataset, batch)
                scores[seen.row_index, seen.values] = -np.inf
            rows = queries.positives.row_index * n_items + queries.positives.values
            offsets = np.arange(len(queries) + 1) * n_items
            ranks.append(rank_of_rows(scores.ravel(), offsets, rows, generator=generator))
        all_ranks = np.concatenate(ranks)
        return HeldOutFigures(all_ranks, ndcg(all_ranks, self.queries.positives.offsets, k=K))

    def picked(self, frozen: HeldOutFigures, tuned: Sequence[HeldOutFigures]) -> int:
        """Which of several tuned encoders is the best on the half that does not decide.

        One that would pass the rule there comes before one that would not, then the one of higher NDCG@10.
        """
        picking = ~self.decides
        passes = [self._judge(frozen, figures, picking).is_tuned for figures in tuned]
        ndcg = [figures.mean(picking) for figures in tuned]
        return max(range(len(tuned)), key=lambda number: (passes[number], ndcg[number]))

    def decide(self, frozen: HeldOutFigures, tuned: HeldOutFigures) -> EncoderChoice:
        """The rule: NDCG@10 must be higher beyond doubt, and the tuned encoder must not bury cold items.

        Beyond doubt: the lower end of the one-sided 90% interval of the difference, a paired bootstrap over users, is
        above zero. Cold items are judged as where text features pass their test, see `training.evaluation.held_out`:
        Recall@10 of positives without earlier events must not be significantly lower.
        """
        return self._judge(frozen, tuned, self.decides)

    def _judge(self, frozen: HeldOutFigures, tuned: HeldOutFigures, among: BoolArray) -> EncoderChoice:
        generator = np.random.default_rng(self.seed)
        queries = self.queries.take(np.flatnonzero(among))
        gain = paired_bootstrap(
            frozen.ndcg[among],
            tuned.ndcg[among],
            groups=queries.users,
            percentiles=ONE_SIDED_90,
            generator=generator,
        )
        is_of_these = among[self.queries.positives.row_index]
        is_cold = self.is_cold[is_of_these]
        cold = cold_recall(queries, is_cold, frozen.ranks[is_of_these], tuned.ranks[is_of_these], generator=generator)
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
            n_queries=len(queries),
            n_cold=int(is_cold.sum()),
            frozen_ndcg=frozen.mean(among),
            tuned_ndcg=tuned.mean(among),
            low=gain.low,
            frozen_cold=cold.without if cold else 0.0,
            tuned_cold=cold.with_ if cold else 0.0,
        )

    def too_small(self) -> EncoderChoice:
        """The decision where there are too few queries."""
        return self._frozen(f"a half of the held-out users has fewer than {FEWEST_QUERIES} queries")

    def diverged(self) -> EncoderChoice:
        """The decision where tuning gave no encoder to measure."""
        return self._frozen("tuning did not converge")

    def _frozen(self, why: str) -> EncoderChoice:
        n_cold = int(self.is_cold[self.decides[self.queries.positives.row_index]].sum())
        return EncoderChoice(False, why, int(self.decides.sum()), n_cold)
