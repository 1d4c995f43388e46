"""What is remembered of users beside their events: texts, each with an age, a kind and a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from feature_store.arrays import BoolArray, Float32Array, IntArray
from feature_store.point_in_time.newest_rows import ALWAYS
from feature_store.ragged import Ragged

NO_TIME = ALWAYS
"""The time of a slot that has none, microseconds: of an interest in a row of the users table that always held, too."""


@dataclass(frozen=True)
class SlotName:
    """What a person reads of a slot, as data: a language makes a phrase of it, which depends on the slot's kind."""

    words: str = ""
    """Of a text in words: an interest, a fact."""
    n_events: int = 0
    """Events that the slot stands for."""
    first: int = NO_TIME
    """The time of the first of these, microseconds."""
    last: int = NO_TIME
    """The time of the last of these, microseconds."""
    items: tuple[int, ...] = ()
    """Item rows by whose titles the slot is named."""


@dataclass(frozen=True, eq=False)
class FurtherSlots:
    """One row per query. The arrays beside `texts` have one entry per slot and share its offsets."""

    texts: Ragged
    """Per query its slots: rows of `vectors`, or -1 - row for the text of an item row."""
    ages: IntArray
    """Age bucket of each slot, see `recmem.matching.user_memory.age_bucket`."""
    kinds: IntArray
    """Place of each slot's kind in `recmem.matching.memory_kinds.KINDS`: one whose slots are no events."""
    times: IntArray
    """When it was said or seen last, microseconds; `NO_TIME` where that is not known."""
    vectors: Float32Array
    """Unit vectors of the distinct texts, on the grid of `recmem.text.unit_vectors`: float32[text, dim]."""
    names: Sequence[SlotName]
    """Of each text in `vectors`."""

    @classmethod
    def of_items(cls, items: Ragged, *, ages: IntArray, kinds: IntArray, times: IntArray) -> FurtherSlots:
        """Slots whose texts are those of item rows; they have the items' vectors, tuned ones too."""
        return cls(Ragged(-1 - items.values, items.offsets), ages, kinds, times, np.empty((0, 0), np.float32), ())

    def __len__(self) -> int:
        return self.texts.n_rows

    @classmethod
    def side_by_side(cls, parts: Sequence[FurtherSlots]) -> FurtherSlots:
        """The slots of all parts, which are of the same queries: of each query those of the first part come first."""
        if len(parts) == 1:
            return parts[0]
        n_before = np.cumsum([0, *(len(part.vectors) for part in parts)])
        texts = [
            np.where(part.texts.values < 0, part.texts.values, part.texts.values + before)
            for part, before in zip(parts, n_before, strict=False)
        ]
        vectors = [part.vectors for part in parts if len(part.vectors)]
        queries = np.concatenate([part.texts.row_index for part in parts])
        # Stable: within a query the parts keep their order.
        order = np.argsort(queries, kind="stable")
        return cls(
            texts=Ragged.from_lengths(np.concatenate(texts)[order], np.bincount(queries, minlength=len(parts[0]))),
            ages=np.concatenate([part.ages for part in parts])[order],
            kinds=np.concatenate([part.kinds for part in parts])[order],
            times=np.concatenate([part.times for part in parts])[order],
            vectors=np.concatenate(vectors) if vectors else parts[0].vectors,
            names=[name for part in parts for name in part.names],
        )

    def where(self, kept: BoolArray) -> FurtherSlots:
        """The same queries with only the slots for which `kept` (one entry per slot) is true."""
        lengths = np.bincount(self.texts.row_index[kept], minlength=len(self))
        return self._select(np.flatnonzero(kept), lengths)

    def take(self, rows: IntArray) -> FurtherSlots:
        """The slots of the given queries, in the given order."""
        return self._select(self.texts.index_of(rows), self.texts.lengths[rows])

    def _select(self, slots: IntArray, lengths: IntArray) -> FurtherSlots:
        texts = Ragged.from_lengths(self.texts.values[slots], lengths)
        return replace(self, texts=texts, ages=self.ages[slots], kinds=self.kinds[slots], times=self.times[slots])
