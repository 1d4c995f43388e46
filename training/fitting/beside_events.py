"""What memories hold beside events in training steps, with interests that are made because real ones are rare.

Few users have declared interests while the module learns, and of those who have, most have events too, beside which
interests tell little. So some queries of each step get an interest made for them, half of them in place of their
events: the middle of the texts most similar to an item that they want, without that item's own. Like an interest in
words, it is about many items. So in every log with interests it is learned how much they count.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from feature_store.arrays import IntArray
from feature_store.point_in_time.further_slots import NO_TIME, FurtherSlots, SlotName
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.dataset.dataset import Dataset
from recmem.dataset.declared_slots import DECLARED
from recmem.dataset.further_slots import with_further
from recmem.matching import memory_kinds
from recmem.matching.consolidation import consolidated
from recmem.matching.memory_kinds import place_of
from recmem.matching.user_memory import MemoryConfig
from recmem.text.unit_vectors import exact_units
from training.fitting.match_batches import Beside

EVERY = 4
"""One in so many queries of a step gets an interest that is made for it."""
NEIGHBOURS = 10
"""Texts that such an interest is the middle of."""


@dataclass(frozen=True, eq=False)
class BesideEvents:
    """Adds what a dataset remembers of users to the events of a step's queries, see `Beside`."""

    dataset: Dataset
    unit: Float[Tensor, "item dim"]
    """The frozen encoder's vectors of the items."""
    memory: MemoryConfig
    _random: np.random.Generator = field(repr=False)
    """Beside that of the steps: what is drawn there does not depend on what memories hold."""

    def __call__(self, users: IntArray, times: IntArray, histories: Histories, wanted: Ragged) -> Histories:
        """The histories of these user rows at these times, with what is beside events; `wanted` are their positives."""
        makes_interests = self.memory.declared and bool(self.dataset.config.interests)
        if not makes_interests:
            return self._with_slots(users, times, histories)
        n_queries = len(users)
        chosen = self._random.permutation(n_queries)[: n_queries // EVERY]
        targets = np.array([self._random.choice(wanted.row(int(query))) for query in chosen], np.int64)
        is_new = np.zeros(n_queries, bool)
        is_new[chosen[::2]] = True
        # Before anything is made of the events: a new user has none of that either. Items not clicked are not made of
        # events, and stay.
        kept = histories.where(~is_new[histories.items.row_index])
        return self._with_slots(users, times, kept).beside(self._made_interests(n_queries, chosen, targets))

    def _with_slots(self, users: IntArray, times: IntArray, histories: Histories) -> Histories:
        """The histories with what memories hold beside events, as in serving."""
        return consolidated(with_further(self.dataset, users, times, histories), self.memory, self.unit)

    def _made_interests(self, n_queries: int, queries: IntArray, targets: IntArray) -> FurtherSlots:
        lengths = np.zeros(n_queries, np.int64)
        lengths[queries] = 1
        texts = Ragged.from_lengths(np.argsort(queries, kind="stable").astype(np.int64), lengths)
        return FurtherSlots(
            texts=texts,
            ages=np.zeros(len(queries), np.int64),
            kinds=np.full(len(queries), place_of(DECLARED)),
            times=np.full(len(queries), NO_TIME),
            vectors=middles(self.unit, torch.from_numpy(targets)).numpy(),
            names=[SlotName()] * len(queries),
        )


def beside_events(
    dataset: Dataset, unit: Float[Tensor, "item dim"], memory: MemoryConfig, *, seed: int
) -> Beside | None:
    """What the steps of a fit add to events; None if memories hold nothing else. `unit`: see `BesideEvents.unit`."""
    holds = zip(memory_kinds.KINDS, memory.holds_kind.tolist(), strict=True)
    if not any(is_held for kind, is_held in holds if kind.matches is None):
        return None
    return BesideEvents(dataset, unit.cpu(), memory, np.random.default_rng([seed, 1]))


def middles(unit: Float[Tensor, "item dim"], items: Tensor) -> Tensor:
    """The middle of the `NEIGHBOURS` texts most similar to each item's, without its own: unit vectors, [item, dim]."""
    cosine = unit[items] @ unit.T
    cosine[torch.arange(len(items)), items] = -torch.inf
    nearest = cosine.topk(min(NEIGHBOURS, len(unit) - 1), dim=1).indices
    return exact_units(unit[nearest].mean(dim=1))
