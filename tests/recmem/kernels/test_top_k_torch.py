"""The largest scores of a row, ties in the order of their places."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from recmem.kernels.top_k_torch import largest


def test_largest_of_a_case_by_hand() -> None:
    values, places = largest(torch.tensor([[1.0, 3.0, 2.0, 3.0, 2.0]]), 3)
    assert (values.tolist(), places.tolist()) == ([[3.0, 3.0, 2.0]], [[1, 3, 2]])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.data())
def test_largest_are_the_first_of_a_stable_sort(numbers: list[int], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(numbers)))
    scores = torch.tensor([numbers], dtype=torch.float32)
    values, places = largest(scores, k)
    assert places[0].tolist() == sorted(range(len(numbers)), key=lambda place: -numbers[place])[:k]
    assert torch.equal(values, scores.gather(1, places))
