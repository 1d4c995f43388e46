"""A user's memory as slots: which text, how long ago, which kind. One attention reads all kinds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from feature_store.arrays import IntArray
from feature_store.point_in_time.histories import Histories
from recmem.kernels import RetrievedSlots

HISTORY = 200
"""Events of a user that are read for a query, the newest."""
N_AGES = 24
"""Age buckets: the moments since the event on a logarithmic scale, see `age_bucket`."""


class Kind(IntEnum):
    """What a slot says about its user; the match module learns a bias and a sign for each."""

    AGAINST = 0
    NEUTRAL = 1
    FOR = 2


@dataclass(frozen=True)
class MemoryConfig:
    """What is remembered."""

    recent: int = 50
    """Slots that every candidate sees: the newest events."""
    retrieved: int = 0
    """Further slots, of a long history: of the older events those most like the candidate, another choice for each."""
    retrieved_from: int = 150
    """Older events that these are looked for among, the newest; idle where none is retrieved."""

    def __post_init__(self) -> None:
        if self.recent < 1:
            raise ValueError(f"recent: expected at least 1, got {self.recent}. Give the number of events to remember.")
        if self.retrieved < 0:
            raise ValueError(
                f"retrieved: expected 0 or more, got {self.retrieved}. Give a number of slots, 0 for none."
            )
        if self.retrieved_from < self.retrieved:
            raise ValueError(
                f"retrieved_from: expected at least retrieved ({self.retrieved}), got {self.retrieved_from}. Look through more."
            )
        if self.held > HISTORY:
            name, kept = ("recent + retrieved_from", self.held) if self.retrieved else ("recent", self.recent)
            raise ValueError(f"{name}: expected at most {HISTORY}, got {kept}. That many events are read for a query.")

    @property
    def held(self) -> int:
        """Events of a user that a memory is made of, the newest."""
        return self.recent + (self.retrieved_from if self.retrieved else 0)


@dataclass(frozen=True, eq=False)
class Slots:
    """The slots of several memories, one after the other, the newest event last in each."""

    rows: Int[Tensor, " slot"]
    """Row of the slot's text in the item table."""
    ages: Int[Tensor, " slot"]
    """Age bucket, 0 .. N_AGES - 1."""
    kinds: Int[Tensor, " slot"]
    """`Kind` as a number."""
    owner: Int[Tensor, " slot"]
    """Which memory the slot belongs to, never falling."""
    n_memories: int
    """Memories in all, the empty ones included."""
    retrieved: RetrievedSlots | None = None
    """Which slots a candidate sees only where they are most like it; None where it sees all."""

    @classmethod
    def of(cls, histories: Histories, memory: MemoryConfig) -> Slots:
        """The memory that each history gives: its newest events. An empty history gives an empty memory."""
        held = histories.newest(memory.held)
        after = np.repeat(held.items.offsets[1:], held.items.lengths) - np.arange(len(held.items.values))
        older = torch.from_numpy(after > memory.recent)
        return cls(
            rows=torch.from_numpy(held.items.values.copy()),
            ages=torch.from_numpy(age_bucket(held.recency)),
            kinds=torch.from_numpy(held.signs.astype(np.int64) + 1),
            owner=torch.from_numpy(held.items.row_index),
            n_memories=len(held),
            retrieved=RetrievedSlots(older, memory.retrieved) if bool(older.any()) else None,
        )

    def moved_to(self, rows: Int[Tensor, " slot"]) -> Slots:
        """The same memories over another table, where the slots' texts stand at `rows`."""
        return replace(self, rows=rows)

    def to(self, device: torch.device) -> Slots:
        """The same slots on another device."""
        return replace(
            self,
            rows=self.rows.to(device),
            ages=self.ages.to(device),
            kinds=self.kinds.to(device),
            owner=self.owner.to(device),
            retrieved=self.retrieved and self.retrieved.to(device),
        )


def age_bucket(recency: IntArray) -> IntArray:
    """Bucket of an age in moments of the user (0: the newest): int64, thirds of an octave."""
    bucket = np.floor(3 * np.log2(1.0 + recency)).astype(np.int64)
    capped: IntArray = np.minimum(bucket, N_AGES - 1)
    return capped
