"""A user's memory as slots: which text, how long ago, which kind. One attention reads all kinds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from feature_store.histories import Histories

IntArray = NDArray[np.int64]

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
    """Slots of a memory: the newest events."""

    def __post_init__(self) -> None:
        if self.recent < 1:
            raise ValueError(f"recent: expected at least 1, got {self.recent}. Give the number of events to remember.")


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

    @classmethod
    def of(cls, histories: Histories) -> Slots:
        """The memory that each history gives; an empty history gives an empty memory."""
        return cls(
            rows=torch.from_numpy(histories.items.values.copy()),
            ages=torch.from_numpy(age_bucket(histories.recency)),
            kinds=torch.from_numpy(histories.signs.astype(np.int64) + 1),
            owner=torch.from_numpy(histories.items.row_index),
            n_memories=len(histories),
        )

    def moved_to(self, rows: Int[Tensor, " slot"]) -> Slots:
        """The same memories over another table, where the slots' texts stand at `rows`."""
        return replace(self, rows=rows)

    def to(self, device: torch.device) -> Slots:
        """The same slots on another device."""
        return Slots(
            self.rows.to(device), self.ages.to(device), self.kinds.to(device), self.owner.to(device), self.n_memories
        )


def age_bucket(recency: IntArray) -> IntArray:
    """Bucket of an age in moments of the user (0: the newest): int64, thirds of an octave."""
    bucket = np.floor(3 * np.log2(1.0 + recency)).astype(np.int64)
    capped: IntArray = np.minimum(bucket, N_AGES - 1)
    return capped
