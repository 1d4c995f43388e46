"""What is remembered of users beside their events, from all sources, as of each query's time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from feature_store.arrays import IntArray
from feature_store.point_in_time.further_slots import FurtherSlots
from feature_store.point_in_time.histories import Histories
from recmem.dataset.declared_slots import declared_slots
from recmem.dataset.fact_slots import fact_slots
from recmem.dataset.not_clicked_slots import not_clicked_slots

if TYPE_CHECKING:
    from recmem.dataset.dataset import Dataset

Source: TypeAlias = "Callable[[Dataset, IntArray, IntArray, Histories], FurtherSlots | None]"
"""The slots of user rows (-1 for unknown users) at times (microseconds), given their events before that; None for none.

A source returns vectors and names of the texts that its slots have, and no others: they are copied with every query.
"""

SOURCES: tuple[Source, ...] = (declared_slots, fact_slots, not_clicked_slots)
"""Sources that need no vectors of items; `recmem.matching.consolidation`, which does, is called by the matcher. In a
memory, slots of the first come first."""


def with_further(dataset: Dataset, users: IntArray, times: IntArray, histories: Histories) -> Histories:
    """The histories with what memories hold beside events: the same function in training and in serving.

    Which of it a model remembers is decided by its `MemoryConfig`.
    """
    for source in SOURCES:
        histories = histories.beside(source(dataset, users, times, histories))
    return histories
