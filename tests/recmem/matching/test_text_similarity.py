from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import slow_reference
from recmem.matching.text_similarity import SIMILARITIES, similarities
from recmem.matching.user_memory import Slots
from tolerances import close

N_TEXTS = 6
SLOT = st.tuples(st.integers(0, N_TEXTS - 1), st.sampled_from([-1, 0, 1]))
MEMORIES = st.lists(st.lists(SLOT, max_size=5), min_size=1, max_size=4)
SEEDS = st.integers(0, 1000)

FEWER = settings(max_examples=40)  # the oracle takes its time


def unit_vectors(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn((N_TEXTS, 4), generator=generator), dim=1)


def slots(memories: list[list[tuple[int, int]]]) -> Slots:
    """Memories of (row, sign)."""
    rows, signs = torch.tensor([slot for memory in memories for slot in memory], dtype=torch.int64).reshape(-1, 2).T
    memory_index = torch.arange(len(memories)).repeat_interleave(torch.tensor([len(memory) for memory in memories]))
    kinds = signs + 1  # negative, neutral, positive
    return Slots(rows, torch.zeros_like(rows), kinds, memory_index, len(memories))


def test_similarities_of_a_case_by_hand() -> None:
    unit = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0], [0.8, 0.6]])
    found = similarities(unit, slots([[(4, 1), (1, 0), (2, 1), (3, 1), (0, -1), (1, 1)], []]), torch.tensor([0]))
    expected = {"max": 0.8, "mean": (0.8 + 0.6 + 0.0 - 1.0 + 0.6) / 5, "top3": (0.8 + 0.6 + 0.6) / 3, "last": 0.6}
    for name, value in expected.items():
        close(found[f"similarity_{name}"], [[value], [0.0]], "float32")


def test_a_memory_of_negative_events_alone_is_compared_as_a_whole() -> None:
    unit = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    found = similarities(unit, slots([[(1, -1)]]), torch.tensor([0]))
    assert all(torch.allclose(column, torch.tensor([[0.6]])) for column in found.values())


def test_the_largest_of_negative_similarities_is_negative() -> None:
    unit = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [-0.6, 0.8]])
    found = similarities(unit, slots([[(1, 1), (2, 1)], []]), torch.tensor([0]))
    close(found["similarity_max"], [[-0.6], [0.0]], "float32")
    close(found["similarity_top3"], [[-0.8], [0.0]], "float32")


@FEWER
@given(MEMORIES, SEEDS)
def test_similarities_are_those_of_the_oracle(memories: list[list[tuple[int, int]]], seed: int) -> None:
    unit = unit_vectors(seed)
    found = similarities(unit, slots(memories), torch.arange(N_TEXTS))
    assert tuple(found) == SIMILARITIES
    for place, memory in enumerate(memories):
        rows, signs = [row for row, _ in memory], [sign for _, sign in memory]
        for item in range(N_TEXTS):
            expected = slow_reference.similarities(unit.double().numpy(), rows, signs, item)
            for name, column in found.items():
                close(column[place, item], expected[name], "float32")


@FEWER
@given(MEMORIES, st.permutations(range(N_TEXTS)), SEEDS)
def test_permuting_candidates_permutes_similarities(
    memories: list[list[tuple[int, int]]], order: list[int], seed: int
) -> None:
    unit = unit_vectors(seed)
    in_order = similarities(unit, slots(memories), torch.arange(N_TEXTS))
    turned = similarities(unit, slots(memories), torch.tensor(order))
    for name, column in in_order.items():
        close(turned[name], column[:, order], "float32")
