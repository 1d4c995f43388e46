"""Scores of ragged pairs: every backend against the float64 oracle, and what must hold whatever the backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_reference
from pair_cases import CASES, N_TERMS, N_TEXTS, SEEDS, inputs, moved, random_tables
from recmem.kernels import RetrievedSlots, match_pairs
from recmem.kernels.packed_tables import PackedTables
from recmem.kernels.pairs import OUTPUTS, Memories, PairCandidates, PairScores, check_rows
from recmem.kernels.pairs_reference import match_pairs_reference
from recmem.kernels.pairs_torch import match_pairs_torch
from tolerances import close

FEWER = settings(max_examples=40, deadline=None)  # the oracle takes its time

Scorer = Callable[[PackedTables, Memories, PairCandidates], PairScores]


def numba_scorer(tables: PackedTables, memories: Memories, candidates: PairCandidates) -> PairScores:
    return match_pairs(tables, memories, candidates, backend="numba")


NUMBA = pytest.param(
    numba_scorer, marks=pytest.mark.skipif(find_spec("numba") is None, reason="pip install 'recmem[numba]'")
)
EVERY_BACKEND = pytest.mark.parametrize("backend", [match_pairs_reference, match_pairs_torch, NUMBA])
EVERY_FAST_BACKEND = pytest.mark.parametrize("backend", [match_pairs_torch, NUMBA])


@EVERY_BACKEND
@FEWER
@given(case=CASES, seed=SEEDS)
def test_pairs_are_those_of_the_oracle(backend: Scorer, case: list[tuple[list[int], list[int]]], seed: int) -> None:
    packed = PackedTables.of(random_tables(seed))
    memories, candidates = inputs(case, seed)
    found = backend(packed, memories, candidates)
    tables = packed.separate()
    numbers = {field.name: getattr(tables, field.name).double().numpy() for field in fields(tables)}
    pair = 0
    first = 0
    for slots, items in case:
        own = slice(first, first + len(slots))
        term = memories.term[own]
        bias = memories.bias[term].double().numpy()
        sign = memories.sign[term].double().numpy()
        counted = [slot for slot, is_counted in zip(slots, memories.counted[own].tolist(), strict=True) if is_counted]
        for item in items:
            expected = slow_reference.match(numbers, slots, bias, sign, item, 2)
            size = max(1.0, abs(expected.score))
            close(found.score[pair] / size, expected.score / size, "float32")
            close(found.prior[pair], expected.prior, "float32")
            pooled = slow_reference.similarities(numbers["unit"], counted, [1] * len(counted), item)
            for name, value in pooled.items():
                close(getattr(found, name)[pair], value, "float32")
            pair += 1
        first += len(slots)


@EVERY_FAST_BACKEND
@FEWER
@given(case=CASES, seed=SEEDS, n_kept=st.integers(1, 3))
def test_pairs_are_those_of_the_definition_also_where_older_slots_are_retrieved(
    backend: Scorer, case: list[tuple[list[int], list[int]]], seed: int, n_kept: int
) -> None:
    packed = PackedTables.of(random_tables(seed))
    memories, candidates = inputs(case, seed)
    older = torch.rand(len(memories.rows), generator=torch.Generator().manual_seed(seed)) < 0.6
    memories = replace(memories, retrieved=RetrievedSlots(older, n_kept))
    found = backend(packed, memories, candidates)
    expected = match_pairs_reference(packed, memories, candidates)
    for name in OUTPUTS:
        close(getattr(found, name), getattr(expected, name), "float32")


@EVERY_FAST_BACKEND
@pytest.mark.parametrize(("n_slots", "dim", "n_heads", "head_dim"), [(1, 5, 1, 1), (200, 48, 3, 20), (37, 384, 4, 32)])
def test_pairs_are_those_of_the_definition_at_real_shapes(
    backend: Scorer, n_slots: int, dim: int, n_heads: int, head_dim: int
) -> None:
    packed = PackedTables.of(random_tables(1, n_heads, head_dim, dim))
    rows = np.random.default_rng(0).integers(N_TEXTS, size=(3, n_slots)).tolist()
    case = [(rows[0], [1, 2, 3]), ([], [0, 4]), (rows[1], list(range(N_TEXTS)) * 12), (rows[2][:1], [5])]
    memories, candidates = inputs(case, 1, n_heads)
    found = backend(packed, memories, candidates)
    expected = match_pairs_reference(packed, memories, candidates)
    close(found.score / 8, expected.score / 8, "float32")
    for name in ("similarity_max", "similarity_mean", "similarity_top3", "similarity_last"):
        close(getattr(found, name), getattr(expected, name), "float32")


@FEWER
@given(case=CASES, seed=SEEDS, n_kept=st.integers(0, 3))
def test_a_device_gives_the_definitions_scores(
    device: torch.device, case: list[tuple[list[int], list[int]]], seed: int, n_kept: int
) -> None:
    packed = PackedTables.of(random_tables(seed))
    memories, candidates = inputs(case, seed)
    if n_kept:
        older = torch.rand(len(memories.rows), generator=torch.Generator().manual_seed(seed)) < 0.6
        memories = replace(memories, retrieved=RetrievedSlots(older, n_kept))
    expected = match_pairs_reference(packed, memories, candidates)
    found = match_pairs(moved(packed, device), moved(memories, device), moved(candidates, device))
    size = max(1.0, float(expected.score.abs().max())) if len(candidates.rows) else 1.0
    close(found.score / size, expected.score / size, "float32")
    for name in ("prior", "similarity_max", "similarity_mean", "similarity_top3", "similarity_last"):
        close(getattr(found, name), getattr(expected, name), "float32")


@EVERY_BACKEND
def test_no_pairs_give_no_scores(backend: Scorer) -> None:
    memories, candidates = inputs([([1, 2], []), ([], [])], 0)
    assert backend(PackedTables.of(random_tables(0)), memories, candidates).score.shape == (0,)


@pytest.mark.parametrize("row", [-1, N_TEXTS])
def test_a_row_outside_the_tables_is_refused(row: int) -> None:
    packed = PackedTables.of(random_tables(0))
    memories, candidates = inputs([([1, 2], [3])], 0)
    with pytest.raises(IndexError, match=rf"candidates\.rows: expected 0 \.\. {N_TEXTS - 1}, got {row}"):
        check_rows(packed, memories, replace(candidates, rows=torch.tensor([row])))
    with pytest.raises(IndexError, match=r"memories\.rows: expected 0"):
        check_rows(packed, replace(memories, rows=torch.tensor([1, row])), candidates)


@pytest.mark.parametrize("term", [-1, N_TERMS])
def test_a_slot_without_a_term_is_refused(term: int) -> None:
    memories, candidates = inputs([([1, 2], [3])], 0)
    with pytest.raises(IndexError, match=r"memories\.term: expected 0 \.\. 4, got .* Give rows of bias and sign\."):
        check_rows(PackedTables.of(random_tables(0)), replace(memories, term=torch.tensor([0, term])), candidates)


def test_outputs_are_taken_in_the_order_of_the_fields() -> None:
    rows = torch.arange(len(OUTPUTS), dtype=torch.float32)[:, None]
    scores = PairScores.of(rows)
    assert [float(getattr(scores, name)) for name in OUTPUTS] == rows[:, 0].tolist()
