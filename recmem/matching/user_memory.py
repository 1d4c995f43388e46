"""A user's memory as slots. A slot is a text with an age and a kind: of an event, or of what is known beside events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from feature_store.arrays import BoolArray, IntArray
from feature_store.point_in_time.further_slots import FurtherSlots
from feature_store.point_in_time.histories import Histories
from feature_store.settings import check_settings, setting
from recmem.kernels import RetrievedSlots
from recmem.matching import memory_kinds
from recmem.matching.memory_kinds import kinds_of

HISTORY = 200
"""How many of a user's events are read for a query: the newest."""
N_AGES = 24
"""Number of age buckets, see `age_bucket`."""
BUCKETS_PER_DOUBLING = 3
"""Age buckets that a doubling of the age passes through."""


@dataclass(frozen=True)
class MemoryConfig:
    """Which events make up a user's memory."""

    recent: int = setting(50, low=1, high=HISTORY, remedy=f"Only {HISTORY} events are read for a query.")
    """Events in a user's memory, the newest: every candidate is compared with them."""
    retrieved: int = setting(0, low=0, high=HISTORY, remedy="Give a number of slots, 0 for none.")
    """Older events that each candidate is compared with besides: those with the most similar text. 0 turns this off."""
    retrieved_from: int = setting(150, low=0, high=HISTORY)
    """How many older events those are chosen from, the newest first. Ignored if `retrieved` is 0."""
    declared: bool = setting(True)
    """Whether each interest that a user has declared (setting `users.interests`) is remembered beside the events."""
    consolidated: int = setting(0, low=0, high=HISTORY, remedy="Give a number of slots such as 4, 0 for none.")
    """Slots that stand for the events older than the newest `recent`: each for similar ones. 0 turns this off."""
    knowledge: int = setting(0, low=0, high=HISTORY, remedy="Give a number of slots such as 8, 0 for none.")
    """Slots that stand for facts of a user's items, the strongest, where facts are read. 0 turns this off."""
    not_clicked: int = setting(0, low=0, high=HISTORY, remedy="Give a number of slots such as 10, 0 for none.")
    """Slots that stand for items shown to the user and not clicked, the newest, where there are impressions. 0 turns
    this off."""
    negatives: bool = setting(False)
    """Whether negative events, such as returns and low ratings, are remembered, with a sign of their own. Otherwise
    they are left out."""

    def __post_init__(self) -> None:
        check_settings(self, self._conflicts)

    def _conflicts(self) -> Iterator[str]:
        if self.retrieved_from < self.retrieved:
            at_least = f"at least retrieved ({self.retrieved})"
            yield f"retrieved_from: expected {at_least}, got {self.retrieved_from}. Raise it."
        if self.n_events > HISTORY:
            yield (
                f"recent + retrieved_from: expected at most {HISTORY}, got {self.n_events}. "
                f"Only {HISTORY} events are read for a query."
            )

    @property
    def n_events(self) -> int:
        """How many of a user's events a memory is made of, the newest."""
        return self.recent + (self.retrieved_from if self.retrieved else 0)

    def n_read(self, *, of_negatives: bool = True) -> int:
        """How many of a user's events have to be read to make a memory, the newest.

        `of_negatives`: whether negative events may be among them, in whose place older ones are remembered.
        """
        leaves_out = of_negatives and not self.negatives
        reads_older = leaves_out or self.consolidated or self.knowledge or self.not_clicked
        return HISTORY if reads_older else self.n_events

    @property
    def of_events(self) -> MemoryConfig:
        """The same memory with slots of events alone."""
        beside = [kind.setting for kind in memory_kinds.KINDS if kind.matches is None and kind.setting]
        return replace(self, **{name: type(getattr(self, name))(0) for name in beside})

    @property
    def holds_kind(self) -> BoolArray:
        """Whether a memory has slots of each kind of `recmem.matching.memory_kinds.KINDS`: bool[kind]."""
        settings = [kind.setting for kind in memory_kinds.KINDS]
        return np.array([not setting or bool(getattr(self, setting)) for setting in settings])


def remembered(histories: Histories, memory: MemoryConfig) -> Histories:
    """What the memory of each history is made of: the newest events of the kinds that it holds, and what is beside."""
    newest = events_held(histories, memory).newest(memory.n_events)
    if newest.further is None:
        return newest
    return replace(newest, further=newest.further.where(memory.holds_kind[newest.further.kinds]))


def events_held(histories: Histories, memory: MemoryConfig) -> Histories:
    """The histories with only the events of kinds that a memory holds, however old."""
    holds = memory.holds_kind
    is_event = np.array([kind.matches is not None for kind in memory_kinds.KINDS])
    if holds[is_event].all():
        return histories
    is_held = holds[kinds_of(histories)]
    return histories if is_held.all() else histories.where(is_held)


@dataclass(frozen=True, eq=False)
class Slots:
    """The slots of several memories, one memory after the other. In each, what is no event comes first, and the newest
    event last."""

    rows: Int[Tensor, " slot"]
    """Row of the slot's text in the item table; -1 - n for row n of `own`."""
    ages: Int[Tensor, " slot"]
    """Age bucket, 0 .. N_AGES - 1."""
    kinds: Int[Tensor, " slot"]
    """Place of the slot's kind in `recmem.matching.memory_kinds.KINDS`."""
    memory_index: Int[Tensor, " slot"]
    """Which memory the slot belongs to, ascending."""
    n_memories: int
    """Number of memories, including empty ones."""
    retrieved: RetrievedSlots | None = None
    """Which slots a candidate sees only if they are among the most similar ones; None if it sees all slots."""
    own: Float[Tensor, "text dim"] | None = None
    """Unit vectors of texts that are in no item table; None if the slots have no such texts."""

    @classmethod
    def of(cls, histories: Histories, memory: MemoryConfig) -> Slots:
        """The memory of each history, see `remembered`. An empty history with nothing beside gives an empty memory."""
        kept = remembered(histories, memory)
        older = torch.from_numpy(is_older(kept, memory.recent))
        slots = cls(
            rows=torch.from_numpy(kept.items.values.copy()),
            ages=torch.from_numpy(age_bucket(kept.recency)),
            kinds=torch.from_numpy(kinds_of(kept)),
            memory_index=torch.from_numpy(kept.items.row_index),
            n_memories=len(kept),
            retrieved=RetrievedSlots(older, memory.retrieved) if bool(older.any()) else None,
        )
        if kept.further is None or not len(kept.further.kinds):
            return slots
        return slots._after(kept.further)

    def _after(self, further: FurtherSlots) -> Slots:
        """The same memories with these slots before their own."""
        memory_index = torch.cat([torch.from_numpy(further.texts.row_index), self.memory_index])
        # Stable: within a memory the further slots stay before the events.
        order = torch.argsort(memory_index, stable=True)
        retrieved = self.retrieved
        if retrieved is not None:
            older = torch.cat([torch.zeros(len(further.kinds), dtype=torch.bool), retrieved.older])
            retrieved = RetrievedSlots(older[order], retrieved.n_kept)
        return Slots(
            rows=torch.cat([torch.from_numpy(-1 - further.texts.values), self.rows])[order],
            ages=torch.cat([torch.from_numpy(further.ages), self.ages])[order],
            kinds=torch.cat([torch.from_numpy(further.kinds), self.kinds])[order],
            memory_index=memory_index[order],
            n_memories=self.n_memories,
            retrieved=retrieved,
            own=torch.from_numpy(further.vectors) if len(further.vectors) else None,
        )

    def moved_to(self, rows: Int[Tensor, " slot"]) -> Slots:
        """The same memories over another table, in which all the slots' texts have these rows."""
        return replace(self, rows=rows, own=None)

    def vectors_of(self, items: Float[Tensor, "item dim"], rows: Int[Tensor, " row"]) -> Float[Tensor, "row dim"]:
        """The unit vectors of these rows of the item table or, where negative, of `own`.

        Own vectors that are shorter than those of items are those of the frozen encoder, and have zeros behind.
        """
        if self.own is None:
            return items[rows]
        is_own = rows < 0
        vectors = items.new_zeros(len(rows), items.shape[1])
        vectors[~is_own] = items[rows[~is_own]]
        vectors[is_own, : self.own.shape[1]] = self.own[-1 - rows[is_own]].to(vectors)
        return vectors

    def to(self, device: torch.device) -> Slots:
        """The same slots on another device."""
        return replace(
            self,
            rows=self.rows.to(device),
            ages=self.ages.to(device),
            kinds=self.kinds.to(device),
            memory_index=self.memory_index.to(device),
            retrieved=self.retrieved and self.retrieved.to(device),
            own=None if self.own is None else self.own.to(device),
        )


def age_bucket(recency: IntArray) -> IntArray:
    """Bucket of an age in visits (0: the newest visit): int64, three buckets to a doubling, at most N_AGES - 1."""
    bucket = np.floor(BUCKETS_PER_DOUBLING * np.log2(1.0 + recency)).astype(np.int64)
    capped: IntArray = np.minimum(bucket, N_AGES - 1)
    return capped


def is_older(histories: Histories, recent: int) -> BoolArray:
    """bool[event]: is the event none of the newest `recent` of its history?"""
    items = histories.items
    end_of_history = np.repeat(items.offsets[1:], items.lengths)
    # 1 for the newest event of a history, 2 for the one before it.
    place_from_end = end_of_history - np.arange(len(items.values))
    older: BoolArray = place_from_end > recent
    return older
