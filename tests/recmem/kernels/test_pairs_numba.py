"""The numba kernel gives a pair the same bits whatever is scored beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pair_cases import CASES, N_TEXTS, SEEDS, inputs, random_tables
from recmem.kernels.packed_tables import PackedTables
from recmem.kernels.pairs import OUTPUTS, PairCandidates

pytest.importorskip("numba", reason="pip install 'recmem[numba]'")
from recmem.kernels import pairs_numba
from recmem.kernels.pairs_numba import match_pairs_numba


@settings(max_examples=40, deadline=None)
@given(case=CASES, seed=SEEDS, data=st.data())
def test_a_pair_has_the_same_bits_whatever_is_beside_it(
    case: list[tuple[list[int], list[int]]], seed: int, data: st.DataObject
) -> None:
    packed = PackedTables.of(random_tables(seed))
    memories, candidates = inputs(case, seed)
    whole = match_pairs_numba(packed, memories, candidates)
    some = data.draw(st.lists(st.integers(0, len(case) - 1), min_size=1, max_size=3))
    slots, pairs = (
        torch.cat([torch.arange(*bounds[m : m + 2]) for m in some]) for bounds in (memories.offsets, candidates.offsets)
    )
    lengths = [memories.offsets.diff()[some], candidates.offsets.diff()[some]]
    offsets = [torch.cat([torch.zeros(1, dtype=torch.int64), length.cumsum(0)]) for length in lengths]
    of_slots = {name: getattr(memories, name)[slots] for name in ("rows", "counted", "term")}
    few = replace(memories, offsets=offsets[0], **of_slots)
    found = match_pairs_numba(packed, few, PairCandidates(candidates.rows[pairs], offsets[1]))
    for name in OUTPUTS:
        assert torch.equal(getattr(found, name), getattr(whole, name)[pairs])


def test_many_threads_and_many_pieces_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    case = [(rng.integers(N_TEXTS, size=n).tolist(), rng.integers(N_TEXTS, size=40).tolist()) for n in (0, 3, 50, 200)]
    packed = PackedTables.of(random_tables(3))
    memories, candidates = inputs(case * 5, 3)
    whole = match_pairs_numba(packed, memories, candidates)
    monkeypatch.setattr(pairs_numba, "PIECE_CELLS", 64)
    cut = match_pairs_numba(packed, memories, candidates)
    assert all(torch.equal(getattr(cut, name), getattr(whole, name)) for name in OUTPUTS)


def test_a_large_memory_is_cut_into_pieces_of_its_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_numba, "PIECE_CELLS", 100)
    # Memories of 50 and of 2 slots (which count as 16), with 5 and 3 candidates: 2 and 6 of them fit into a piece.
    pieces = pairs_numba._pieces(np.array([0, 50, 52]), np.array([0, 5, 8]))
    assert pieces.tolist() == [[0, 50, 0, 2], [0, 50, 2, 4], [0, 50, 4, 5], [50, 52, 5, 8]]
