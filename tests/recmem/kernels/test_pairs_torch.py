"""Padded blocks of memories: how they are cut changes no score."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pair_cases import CASES, SEEDS, inputs, random_tables
from recmem.kernels import pairs_torch
from recmem.kernels.packed_tables import PackedTables
from recmem.kernels.pairs import OUTPUTS, PairScores
from recmem.kernels.pairs_reference import match_pairs_reference
from recmem.kernels.pairs_torch import match_pairs_torch
from tolerances import close


def agree(found: PairScores, expected: PairScores) -> None:
    for name in OUTPUTS:
        close(getattr(found, name), getattr(expected, name), "float32")


@settings(max_examples=40, deadline=None)
@given(case=CASES, seed=SEEDS, cells=st.integers(1, 400))
def test_how_blocks_are_cut_changes_nothing(case: list[tuple[list[int], list[int]]], seed: int, cells: int) -> None:
    packed = PackedTables.of(random_tables(seed))
    memories, candidates = inputs(case, seed)
    whole = match_pairs_torch(packed, memories, candidates)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs_torch, "BLOCK_CELLS", cells)
        agree(match_pairs_torch(packed, memories, candidates), whole)


def test_a_memory_with_very_many_candidates_is_scored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = PackedTables.of(random_tables(5))
    memories, candidates = inputs([([1, 2], [3, 4, 5, 6] * 30)], 5)
    monkeypatch.setattr(pairs_torch, "BLOCK_CELLS", 16 * 50)
    sizes = []
    monkeypatch.setattr(pairs_torch, "_ends", lambda pieces: sizes.extend(pieces) or range(1, len(pieces) + 1))
    agree(match_pairs_torch(packed, memories, candidates), match_pairs_reference(packed, memories, candidates))
    assert sizes == [[2, 20], [2, 50], [2, 50]]


def test_a_block_ends_where_its_padded_size_would_pass_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_torch, "BLOCK_CELLS", 2 * 16 * 20)
    # Slots and candidates below 16 count as 16: two pieces of 16 x 20 fit, and a third does not.
    assert pairs_torch._ends([[1, 20], [2, 20], [3, 20], [3, 41]]) == [2, 3, 4]
    assert pairs_torch._ends([]) == []
