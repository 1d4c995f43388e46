"""Memory slots that are no events: a kind of them, and some for the small datasets of tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from feature_store.point_in_time.further_slots import NO_TIME, FurtherSlots, SlotName
from feature_store.ragged import Ragged
from recmem.matching import memory_kinds
from recmem.matching.memory_kinds import MemoryKind
from recmem.text.unit_vectors import exact_units

NOTE = "note"
NAMES = ("a first note", "a second note", "a third note")


def add_note_kind(monkeypatch: pytest.MonkeyPatch) -> int:
    """Adds a kind whose slots are no events to the table of kinds, for one test; its place."""
    monkeypatch.setattr(memory_kinds, "KINDS", (*memory_kinds.KINDS, MemoryKind(NOTE, None)))
    return memory_kinds.place_of(NOTE)


def notes(texts: Sequence[Sequence[int]], kind: int, dim: int = 8) -> FurtherSlots:
    """Per query these of the three notes, each of an age of its own; the first note has no time."""
    rows = Ragged.from_lists(texts)
    vectors = exact_units(torch.randn((len(NAMES), dim), generator=torch.Generator().manual_seed(7))).numpy()
    return FurtherSlots(
        texts=rows,
        ages=rows.values + 4,
        kinds=np.full(len(rows.values), kind),
        times=np.where(rows.values == 0, NO_TIME, rows.values),
        vectors=vectors,
        names=[SlotName(name) for name in NAMES],
    )
