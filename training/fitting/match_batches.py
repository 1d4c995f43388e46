"""Training steps of the match module: queries with their memories, and the candidates that all queries of a step share.

Most examples are queries of users with a history: the memory is what the user had, the positives are new items. A
user's first basket has no history; some of its items are held out as positives, and the rest stand in as the memory. In
a log of few large baskets these are most of what there is to learn from. Only training does this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from feature_store import EventLog
from feature_store.arrays import BoolArray, Float32Array, Float64Array, IntArray
from feature_store.point_in_time.cancelled_events import CancelledEvents
from feature_store.point_in_time.histories import Histories
from feature_store.point_in_time.read_protocol import AsOf, Past
from feature_store.ragged import Ragged
from feature_store.settings import check_settings, setting
from recmem.matching.match_module import TextRoles
from recmem.matching.user_memory import MemoryConfig, Slots
from recmem.text.torch_device import sent
from training.pair_keys import pair_keys
from training.queries import Queries, queries_between
from training.target_weights import TargetWeights

SMALLEST_FIRST_BASKET = 2
"""Items: one to hold out, one to remember."""
SHORTENED_SHARE = 0.5
"""Share of first-basket memories that are shortened at random: later queries have memories of all lengths."""
Beside = Callable[[IntArray, IntArray, Histories, Ragged], Histories]
"""Adds what memories hold beside events: of user rows at times, their events, and the items that are wanted of them."""
COUNT_PRIOR = 0.1
"""Added to each item's count of positives, so that no item's expected share is zero."""


@dataclass(frozen=True)
class BatchConfig:
    """How a training step of the match module is drawn."""

    queries: int = setting(64, low=1, high=100_000)
    """Queries of a step."""
    negatives: int = setting(512, low=1, high=10_000_000)
    """Candidates that are drawn for all queries of a step, beside the queries' own positives. A catalogue with no more
    items that have events is taken whole, without a correction for how often each is drawn."""
    positives: int = setting(4, low=1, high=10_000)
    """Positives of one query in a step, at most; the query's others are left out of that step."""
    popularity_power: float = setting(0.5, low=0, high=10)
    """Negatives are drawn in proportion to (1 + positive events) to this power."""
    half_life: float = setting(0.1, above=0, high=1000)
    """In the second fit, which prefers recent queries, one weighs half for each such share of all that came later."""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, eq=False)
class Batch:
    """One step. Candidates are distinct; every query has a positive."""

    slots: Slots
    """The queries' memories."""
    candidates: Int[Tensor, " cand"]
    """Item rows, ascending."""
    positives: Bool[Tensor, "query cand"]
    excluded: Bool[Tensor, "query cand"]
    """Items in the query's memory, and its positives that this step leaves out: neither is a negative."""
    log_draws: Float[Tensor, " cand"]
    """Log of how often each candidate was expected among those of a step."""
    weights: Float[Tensor, "query cand"] | None = None
    """What each positive weighs, 1 on average over all that steps are drawn from; None where all weigh the same."""

    def over_its_texts(self, device: torch.device) -> tuple[Int[Tensor, " text"], TextRoles, Batch]:
        """The texts of this step, each once, their roles, and the step on a device, over a table of these texts alone.

        A text is a row of the item table or, where negative, of the slots' own texts, see `Slots.rows`.
        """
        remembered, slot_places = torch.unique(self.slots.rows, return_inverse=True)
        is_both = torch.isin(remembered, self.candidates)
        is_candidate_only = torch.isin(self.candidates, remembered, invert=True)
        # First the texts that are candidates only, then those that are both, then those that are in memories only.
        both = remembered[is_both]
        texts = torch.cat([self.candidates[is_candidate_only], both, remembered[~is_both]])
        first_remembered = len(texts) - len(remembered)
        # Both parts ascend, so the places of a part are counted in its order.
        places = torch.empty_like(remembered)
        places[is_both] = first_remembered + torch.arange(len(both))
        places[~is_both] = len(self.candidates) + torch.arange(len(remembered) - len(both))
        candidates = torch.empty_like(self.candidates)
        candidates[is_candidate_only] = torch.arange(first_remembered)
        candidates[~is_candidate_only] = first_remembered + torch.arange(len(both))
        step = Batch(
            slots=self.slots.moved_to(places[slot_places]).to(device),
            candidates=sent(candidates, device),
            positives=sent(self.positives, device),
            excluded=sent(self.excluded, device),
            log_draws=sent(self.log_draws, device),
            weights=None if self.weights is None else sent(self.weights, device),
        )
        return texts, TextRoles(len(self.candidates), first_remembered), step


@dataclass(frozen=True, eq=False)
class _Examples:
    """Queries that were drawn for a step; one row per query."""

    memories: Past
    wanted: Ragged
    """The positives of this step: item rows."""
    left_out: Ragged
    """The query's other positives."""
    users: IntArray
    """User row of each query."""
    times: IntArray
    """Microseconds."""


class MatchBatches:
    """Draws training steps from the log up to a time.

    If events were cancelled, `log` holds those that stood at that time, from which the positives come; memories are
    read from `reads`, as they were at each query, and `cancelled` has the events that a user had at the time and that
    were cancelled later. `weights` are those of the positives, of which only the ratios matter; how often a query or
    an item is drawn does not depend on them. `repeats`: items that a user has had before are positives, and negatives
    where they are not wanted; otherwise they are neither. `beside` adds to the memories what is no event.
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
        weights: TargetWeights | None = None,
        repeats: bool = False,
        beside: Beside | None = None,
    ) -> None:
        self._reads = log if reads is None else reads
        self._memory = memory
        # Events that were cancelled since are not in the log, and may have been negative.
        of_negatives = cancelled is not None or bool((log.signs < 0).any())
        self._n_read = memory.n_read(of_negatives=of_negatives)
        self._beside = beside
        self._config = config
        self._rng = np.random.default_rng(seed)
        self._n_items = n_items
        before_all = int(log.times.min(initial=0)) - 1
        self._repeats = repeats
        self._warm = queries_between(log, before_all, until, cancelled=cancelled, repeats=repeats)
        first = queries_between(log, before_all, until, with_history=False, cancelled=cancelled)
        is_usable = (first.positives.lengths >= SMALLEST_FIRST_BASKET) & _has_arrived(log, first)
        self._first = first.take(np.flatnonzero(is_usable))
        half_life = config.half_life if prefers_recent else np.inf
        self._weight_up_to = np.cumsum(recency_weights(self._warm.times, half_life))
        self._draw, self._positive_share = _item_shares(log, n_items, until, config.popularity_power)
        self._takes_all = np.count_nonzero(self._draw) <= config.negatives
        self._weights = weights
        self._mean_weight = _mean_weight(weights, [self._warm, self._first])

    @property
    def generator(self) -> np.random.Generator:
        """What all steps are drawn with: its state says which steps come next."""
        return self._rng

    @property
    def n_examples(self) -> int:
        """All queries that steps are drawn from, first baskets included."""
        return len(self._warm) + len(self._first)

    def draw(self) -> Batch:
        """One step."""
        size = self._config.queries
        # Both kinds of example in the log's proportion, on average.
        n_first = int(self._rng.binomial(size, len(self._first) / self.n_examples))
        warm = self._draw_warm(size - n_first)
        first, memories, held_out = self._draw_first(n_first)
        nothing = Ragged.from_lengths(held_out.values[:0], np.zeros(n_first, np.int64))
        # The rest of a first basket is its memory, and excluded as such; where repeats count, it is so as a part of it.
        left_out = first.positives if self._repeats else nothing
        examples = _Examples(
            memories=Past.concat([warm.memories, memories]),
            wanted=Ragged.concat([warm.wanted, held_out]),
            left_out=Ragged.concat([warm.left_out, left_out]),
            users=np.concatenate([warm.users, first.users]),
            times=np.concatenate([warm.times, first.times]),
        )
        return self._batch(examples)

    def _draw_warm(self, size: int) -> _Examples:
        """Queries of users with a history."""
        if not size:
            nobody = np.empty(0, np.int64)
            empty = Ragged.from_lists([])
            return _Examples(self._reads.past(nobody, nobody), empty, empty, nobody, nobody)
        # A query is drawn where a uniform number falls among the cumulated weights.
        drawn = self._rng.random(size) * self._weight_up_to[-1]
        queries = self._warm.take(np.searchsorted(self._weight_up_to[:-1], drawn, side="right"))
        shuffled = [self._rng.permutation(queries.positives.row(row)) for row in range(size)]
        limit = self._config.positives
        return _Examples(
            memories=self._reads.past(queries.users, queries.times, self._n_read),
            wanted=Ragged.from_lists([items[:limit] for items in shuffled]),
            left_out=Ragged.from_lists([items[limit:] for items in shuffled]),
            users=queries.users,
            times=queries.times,
        )

    def _draw_first(self, size: int) -> tuple[Queries, Past, Ragged]:
        """Parts of first baskets: their queries, what is remembered of each, and the held-out items."""
        first = self._first.take(self._rng.integers(max(len(self._first), 1), size=size))
        baskets = self._reads.past(first.users, first.times + 1)
        remembered = [np.empty(0, np.int64)]
        held_out = []
        for row in range(size):
            basket = baskets.items.row(row)
            items = first.positives.row(row)
            most = min(self._config.positives, len(items) // 2)
            n_wanted = int(self._rng.integers(1, most + 1))
            wanted = self._rng.choice(items, n_wanted, replace=False)
            others = np.flatnonzero(~np.isin(basket, wanted))
            if self._rng.random() < SHORTENED_SHARE:
                length = int(self._rng.integers(1, len(others) + 1))
                others = np.sort(self._rng.choice(others, length, replace=False))
            remembered.append(baskets.items.offsets[row] + others[-self._n_read :])
            held_out.append(wanted)
        return first, baskets.only(np.concatenate(remembered)), Ragged.from_lists(held_out)

    def _batch(self, examples: _Examples) -> Batch:
        histories = Histories.of(examples.memories)
        wanted = examples.wanted
        remembered = histories
        if self._beside is not None:
            remembered = self._beside(examples.users, examples.times, histories, wanted)
        candidates = np.unique(np.concatenate([wanted.values, self._negatives()]))
        positives = wanted.contains(candidates)  # [query, cand]
        is_no_negative = examples.left_out.contains(candidates)
        if not self._repeats:
            is_no_negative |= histories.items.contains(candidates)
        return Batch(
            slots=Slots.of(remembered, self._memory),
            candidates=torch.from_numpy(candidates),
            positives=torch.from_numpy(positives),
            excluded=torch.from_numpy(is_no_negative & ~positives),
            log_draws=torch.from_numpy(self._log_draws(len(wanted.values))[candidates]),
            weights=self._weights_of(examples, candidates),
        )

    def _weights_of(self, examples: _Examples, candidates: IntArray) -> Float[Tensor, "query cand"] | None:
        if self._weights is None:
            return None
        wanted = examples.wanted
        weights = np.zeros((len(wanted), len(candidates)), np.float32)
        given = self._weights.of_positives(examples.users, examples.times, wanted)
        weights[wanted.row_index, np.searchsorted(candidates, wanted.values)] = given / self._mean_weight
        return torch.from_numpy(weights)

    def _negatives(self) -> IntArray:
        """The negatives of a step: item rows, some of them more than once."""
        if self._takes_all:
            return np.flatnonzero(self._draw)
        return self._rng.choice(self._n_items, self._config.negatives, p=self._draw)

    def _log_draws(self, n_wanted: int) -> Float32Array:
        """Log of how often each item is expected in a step: as a negative, or as a positive of some query."""
        expected = self._config.negatives * self._draw + n_wanted * self._positive_share  # [item]
        if self._takes_all:
            expected = np.ones(self._n_items)
        log_draws: Float32Array = np.log(np.minimum(expected, 1)).astype(np.float32)
        return log_draws


def recency_weights(times: IntArray, half_life: float) -> Float64Array:
    """Weight of each query, given their times in order: halved for each share `half_life` of them that came later."""
    n_later = len(times) - np.searchsorted(times, times, side="right")
    weights: Float64Array = np.exp2(-n_later / max(len(times), 1) / half_life)
    return weights


def _mean_weight(weights: TargetWeights | None, parts: Sequence[Queries]) -> float:
    """Of all positives; 1 where none weighs anything."""
    if weights is None:
        return 1.0
    of_parts = [weights.of_positives(part.users, part.times, part.positives) for part in parts]
    together = np.concatenate(of_parts)
    return float(together.mean(dtype=np.float64)) if together.any() else 1.0


def _item_shares(log: EventLog, n_items: int, until: int, power: float) -> tuple[Float64Array, Float64Array]:
    """Per item: the probability of each draw of a negative, and its share of the log's positives."""
    is_known = log.known <= until + 1
    n_positive = np.bincount(log.item_rows[is_known & (log.signs > 0)], minlength=n_items).astype(np.float64)
    n_events = np.bincount(log.item_rows[is_known], minlength=n_items)
    # An item without any event yet is no negative: users could not interact with it, and later ones will.
    draw = np.where(n_events > 0, (n_positive + 1) ** power, 0)
    draw /= max(draw.sum(), 1)
    positive_share = (n_positive + COUNT_PRIOR) / (n_positive.sum() + COUNT_PRIOR * n_items)
    return draw, positive_share


def _has_arrived(log: EventLog, first: Queries) -> BoolArray:
    """bool[query]: whether all positives were known right after the query; a late part of a basket is no memory."""
    events = log.by_user.last(first.users, first.times + 1)
    known_keys, positive_keys = pair_keys(Ragged(log.item_rows[events.values], events.offsets), first.positives)
    is_late = ~np.isin(positive_keys, known_keys)
    has_late = np.zeros(len(first), bool)
    has_late[first.positives.row_index[is_late]] = True
    return ~has_late
