from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from recmem.matching.memory_kinds import KINDS
from recmem.matching.text_similarity import compared_slots
from recmem.matching.user_memory import Slots

NEGATIVE, NEUTRAL, POSITIVE = 0, 1, 2
(DECLARED,) = (number for number, kind in enumerate(KINDS) if kind.name == "declared")


def slots(memories: list[list[int]]) -> Slots:
    """Memories of slots of these kinds."""
    kinds = torch.tensor([kind for memory in memories for kind in memory], dtype=torch.int64)
    memory_index = torch.arange(len(memories)).repeat_interleave(torch.tensor([len(memory) for memory in memories]))
    return Slots(torch.zeros_like(kinds), torch.zeros_like(kinds), kinds, memory_index, len(memories))


def compared(memories: list[list[int]]) -> list[bool]:
    found: list[bool] = compared_slots(slots(memories)).tolist()
    return found


def test_negative_events_are_not_compared() -> None:
    assert compared([[POSITIVE, NEGATIVE, NEUTRAL], [], [NEGATIVE, POSITIVE]]) == [True, False, True, False, True]


def test_a_memory_of_negative_events_alone_is_compared_as_a_whole() -> None:
    assert compared([[NEGATIVE, NEGATIVE], [POSITIVE, NEGATIVE]]) == [True, True, True, False]


def test_what_is_no_event_is_never_compared() -> None:
    assert compared([[DECLARED, NEGATIVE], [DECLARED]]) == [False, True, False]


@given(st.lists(st.lists(st.sampled_from([NEGATIVE, NEUTRAL, POSITIVE]), max_size=5), min_size=1, max_size=4))
def test_each_memory_is_compared_as_if_it_were_alone(memories: list[list[int]]) -> None:
    assert compared(memories) == [is_compared for memory in memories for is_compared in compared([memory])]
