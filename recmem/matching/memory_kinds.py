"""The kinds of memory slots: what each is called, and which events of a history belong to it if any do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from feature_store.arrays import BoolArray, IntArray
from feature_store.point_in_time.histories import Histories


@dataclass(frozen=True)
class MemoryKind:
    """One kind of slot. The match module learns an attention bias and a sign for each."""

    name: str
    """What people read in memories and explanations."""
    matches: Callable[[Histories], BoolArray] | None
    """Which events are of this kind, given the events that a memory is made of: bool[event]. None: its slots are no
    events, see `feature_store.point_in_time.further_slots`."""
    in_text_similarity: bool = True
    """Whether the text similarities are taken over its slots. They are of events alone."""
    setting: str = ""
    """The field of `MemoryConfig` that is false or 0 where a memory has no slots of this kind; empty: it always has."""


KINDS = (
    MemoryKind("negative", lambda histories: histories.signs < 0, in_text_similarity=False, setting="negatives"),
    MemoryKind("neutral", lambda histories: histories.signs == 0),
    MemoryKind("positive", lambda histories: histories.signs > 0),
    MemoryKind("declared", None, setting="declared"),
    MemoryKind("consolidated", None, setting="consolidated"),
    MemoryKind("knowledge", None, setting="knowledge"),
    MemoryKind("not_clicked", None, setting="not_clicked"),
)
"""All kinds. A kind's place is its row in the match module's weights, so add new kinds at the end and never reorder.

An event that several kinds match is of the last of them.
"""


def n_kinds_of_events() -> int:
    """How many kinds a match module knows at least: all up to the last one whose slots are events."""
    return 1 + max(place for place, kind in enumerate(KINDS) if kind.matches is not None)


def place_of(name: str) -> int:
    """The place in `KINDS` of the kind of this name."""
    return next(place for place, kind in enumerate(KINDS) if kind.name == name)


def kinds_of(histories: Histories) -> IntArray:
    """The kind of each event, as its place in `KINDS`: int64[event]. Raises ValueError if an event matches none."""
    kinds = np.full(len(histories.items.values), -1, np.int64)
    for place, kind in enumerate(KINDS):
        if kind.matches is not None:
            kinds[kind.matches(histories)] = place
    if (kinds < 0).any():
        raise ValueError(
            f"KINDS: expected a kind for every event, got none for {int((kinds < 0).sum())} events. "
            "Add a kind that matches them."
        )
    return kinds


def kind_names(histories: Histories) -> list[str]:
    """The name of each event's kind, in the order of the events."""
    return [KINDS[kind].name for kind in kinds_of(histories)]
