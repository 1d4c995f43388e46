"""Steps of match training: queries with their memories, and the candidates that all queries of a step share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from feature_store import EventLog
from feature_store.arrays import BoolArray, Float64Array, IntArray
from feature_store.point_in_time.as_of_reads import AsOf, Past
from feature_store.point_in_time.cancelled_events import CancelledEvents
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.matching.user_memory import MemoryConfig, Slots
from training.queries import Queries, queries_between


@dataclass(frozen=True)
class BatchConfig:
    """How a step of match training is drawn."""

    queries: int = 64
    """Queries of a step."""
    negatives: int = 512
    """Candidates drawn for all queries of a step, beside the queries' own positives."""
    positives: int = 4
    """Positives of one query that a step asks for, at most."""
    popularity_power: float = 0.5
    """Negatives are drawn in proportion to (1 + positive events) to this power."""
    half_life: float = 0.1
    """Of a draw that prefers the recent: a query weighs half for each such share of all queries that came later."""


@dataclass(frozen=True, eq=False)
class Batch:
    """One step. Candidates are distinct; every query has a positive."""

    slots: Slots
    candidates: Int[Tensor, " cand"]
    """Rows of the item table."""
    positives: Bool[Tensor, "query cand"]
    excluded: Bool[Tensor, "query cand"]
    """What the query's memory holds and its positives that this step does not ask for."""
    log_draws: Float[Tensor, " cand"]
    """Log of how often each candidate was expected among those of a step."""


class MatchBatches:
    """Draws steps from the log up to a moment: next items of users with a past, held-out items of first baskets.

    Where events were taken back, `log` holds what stood at the moment, from which the positives come; memories are read
    from `reads`, as they were at each query, and `cancelled` tells what a user had at the time.
    """

    def __init__(
        self,
        log: EventLog,
        n_items: int,
        *,
        until: int,
        memory: MemoryConfig,
        config: BatchConfig,
        seed: int,
        prefers_recent: bool = False,
        reads: AsOf | None = None,
        cancelled: CancelledEvents | None = None,
    ) -> None:
        self._reads, self._memory, self._config = log if reads is None else reads, memory, config
        self._rng = np.random.default_rng(seed)
        self._n_items = n_items
        earliest = int(log.times.min(initial=0)) - 1
        self._warm = queries_between(log, earliest, until, cancelled=cancelled)
        first = queries_between(log, earliest, until, with_history=False, cancelled=cancelled)
        self._first = first.take(np.flatnonzero((first.positives.lengths >= 2) & _has_arrived(log, first)))
        half_life = config.half_life if prefers_recent else np.inf
        self._weight_up_to = np.cumsum(recency_weights(self._warm.times, half_life))
        liked = log.item_rows[(log.known <= until + 1) & (log.signs > 0)]
        count = np.bincount(liked, minlength=n_items).astype(np.float64)
        known = np.bincount(log.item_rows[log.known <= until + 1], minlength=n_items) > 0
        # An item that nobody has touched yet is no negative: users could not turn to it, and later ones will.
        self._draw = np.where(known, (count + 1) ** config.popularity_power, 0)
        self._draw /= max(self._draw.sum(), 1)
        self._positive_share = (count + 0.1) / (count.sum() + 0.1 * n_items)

    @property
    def n_examples(self) -> int:
        """Queries in all, the held-out ones of first baskets included."""
        return len(self._warm) + len(self._first)

    def draw(self) -> Batch:
        """One step."""
        size = self._config.queries
        n_first = int(self._rng.binomial(size, len(self._first) / self.n_examples))
        warm_histories, warm_asked, warm_others = self._draw_warm(size - n_first)
        first_histories, first_asked = self._draw_first(n_first)
        past = Past.concat([warm_histories, *first_histories])
        asked = Ragged.concat([warm_asked, first_asked])
        others = Ragged.concat([warm_others, Ragged.from_lengths(first_asked.values[:0], np.zeros(n_first, np.int64))])
        return self._batch(Histories.of(past), asked, others)

    def _draw_warm(self, size: int) -> tuple[Past, Ragged, Ragged]:
        """Memories, the positives asked for, and the query's other positives."""
        nobody = np.empty(0, np.int64)
        if not size:
            empty = Ragged.from_lists([])
            return self._reads.past(nobody, nobody), empty, empty
        drawn = self._rng.random(size) * self._weight_up_to[-1]
        queries = self._warm.take(np.searchsorted(self._weight_up_to[:-1], drawn, side="right"))
        shuffled = [self._rng.permutation(queries.positives.row(row)) for row in range(size)]
        limit = self._config.positives
        return (
            self._reads.past(queries.users, queries.times, self._memory.n_events),
            Ragged.from_lists([items[:limit] for items in shuffled]),
            Ragged.from_lists([items[limit:] for items in shuffled]),
        )

    def _draw_first(self, size: int) -> tuple[list[Past], Ragged]:
        """Parts of first baskets as memories, one each, and held-out items as positives."""
        memories, asked = [], []
        for row in self._rng.integers(max(len(self._first), 1), size=size):
            user, time = self._first.users[row : row + 1], self._first.times[row : row + 1]
            basket = self._reads.past(user, time + 1)
            items = self._first.positives.row(int(row))
            n_asked = int(self._rng.integers(1, min(self._config.positives, len(items) // 2) + 1))
            held_out = self._rng.choice(items, n_asked, replace=False)
            rest = np.flatnonzero(~np.isin(basket.items.values, held_out))
            if self._rng.random() < 0.5:  # Memories of all lengths, as later queries will have them.
                rest = np.sort(self._rng.choice(rest, int(self._rng.integers(1, len(rest) + 1)), replace=False))
            memories.append(basket.only(rest[-self._memory.n_events :]))
            asked.append(held_out)
        return memories, Ragged.from_lists(asked)

    def _batch(self, histories: Histories, asked: Ragged, others: Ragged) -> Batch:
        drawn = self._rng.choice(self._n_items, self._config.negatives, p=self._draw)
        candidates = np.unique(np.concatenate([asked.values, drawn]))
        positives = asked.contains(candidates)
        excluded = (histories.items.contains(candidates) | others.contains(candidates)) & ~positives
        expected = self._config.negatives * self._draw + len(asked.values) * self._positive_share
        return Batch(
            slots=Slots.of(histories, self._memory),
            candidates=torch.from_numpy(candidates),
            positives=torch.from_numpy(positives),
            excluded=torch.from_numpy(excluded),
            log_draws=torch.from_numpy(np.log(np.minimum(expected[candidates], 1)).astype(np.float32)),
        )


def recency_weights(times: IntArray, half_life: float) -> Float64Array:
    """How much each of these moments weighs, in order of time: halved for each `half_life` of them that came later."""
    n_later = len(times) - np.searchsorted(times, times, side="right")
    weights: Float64Array = np.exp2(-n_later / max(len(times), 1) / half_life)
    return weights


def _has_arrived(log: EventLog, first: Queries) -> BoolArray:
    """bool[query]: were all positives known right after the query? The rest of a basket that came late is no memory."""
    events = log.by_user.last(first.users, first.times + 1)
    n_items = int(log.item_rows.max(initial=0)) + 1
    known = events.row_index * n_items + log.item_rows[events.values]
    is_known = np.isin(first.positives.row_index * n_items + first.positives.values, known)
    has_late = np.zeros(len(first), bool)
    has_late[first.positives.row_index[~is_known]] = True
    return ~has_late
