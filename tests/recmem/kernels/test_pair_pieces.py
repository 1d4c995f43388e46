"""Memories with their candidates are cut into pieces that cover every pair once."""

from __future__ import annotations

import numpy as np
import pytest

from recmem.kernels.pair_pieces import pair_pieces

SLOTS = np.array([0, 5, 5, 7, 9])
PAIRS = np.array([0, 4, 7, 7, 8])


def test_pieces_are_cut_where_a_memory_has_more_candidates_and_none_is_of_a_memory_without() -> None:
    pieces = pair_pieces(SLOTS, PAIRS, np.full(4, 3))
    assert pieces.tolist() == [[0, 5, 0, 3], [0, 5, 3, 4], [5, 5, 4, 7], [7, 9, 7, 8]]


def test_each_memory_may_have_a_length_of_its_own() -> None:
    pieces = pair_pieces(SLOTS, PAIRS, np.array([2, 9, 1, 1]))
    assert pieces.tolist() == [[0, 5, 0, 2], [0, 5, 2, 4], [5, 5, 4, 7], [7, 9, 7, 8]]


@pytest.mark.parametrize("pairs", [[0], [0, 0, 0]])
def test_no_candidates_have_no_pieces(pairs: list[int]) -> None:
    assert pair_pieces(np.zeros(len(pairs), np.int64), np.array(pairs), np.full(len(pairs) - 1, 3)).shape == (0, 4)
