"""Ragged pairs: every backend against the float64 oracle, and what must hold whatever the backend."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import fields, replace
from importlib.util import find_spec
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_reference
from pair_cases import CASES, N_TEXTS, SEEDS, inputs, random_tables
from recmem import kernels as kernels_module
from recmem.kernels import Backend, RetrievedSlots, match_pairs, why_not_numba, why_not_triton
from recmem.kernels import pairs_torch as pairs_torch_module
from recmem.kernels.pairs import Memories, PackedTables, PairCandidates, PairScores, check_rows, match_pairs_reference
from recmem.kernels.pairs_torch import match_pairs_torch
from tolerances import close

FEWER = settings(max_examples=40, deadline=None)  # the oracle takes its time

Scorer = Callable[[PackedTables, Memories, PairCandidates], PairScores]


def numba_scorer(tables: PackedTables, memories: Memories, asked: PairCandidates) -> PairScores:
    return match_pairs(tables, memories, asked, backend="numba")


NUMBA = pytest.param(
    numba_scorer, marks=pytest.mark.skipif(find_spec("numba") is None, reason="pip install 'recmem[numba]'")
)
EVERY_BACKEND = pytest.mark.parametrize("backend", [match_pairs_reference, match_pairs_torch, NUMBA])
EVERY_QUICK_BACKEND = pytest.mark.parametrize("backend", [match_pairs_torch, NUMBA])


def same(found: PairScores, expected: PairScores) -> None:
    for field in fields(PairScores):
        exact = "exact" if field.name == "strongest" else "float32"
        close(getattr(found, field.name), getattr(expected, field.name), exact)


@EVERY_BACKEND
@FEWER
@given(case=CASES, seed=SEEDS)
def test_pairs_are_those_of_the_oracle(backend: Scorer, case: list[tuple[list[int], list[int]]], seed: int) -> None:
    tables, (memories, asked) = random_tables(seed), inputs(case, seed)
    packed = PackedTables.of(tables)
    found = backend(packed, memories, asked)
    numbers = {field.name: getattr(tables, field.name).double().numpy() for field in fields(tables)}
    pair, first = 0, 0
    for slots, candidates in case:
        mine = slice(first, first + len(slots))
        bias, sign = memories.bias[mine].double().numpy(), memories.sign[mine].double().numpy()
        counted = memories.counted[mine].tolist()
        liked = [slot for slot, counts in zip(slots, counted, strict=True) if counts]
        for item in candidates:
            expected = slow_reference.match(numbers, slots, bias, sign, item, 2)
            size = max(1.0, abs(expected.score))
            close(found.score[pair] / size, expected.score / size, "float32")
            close(found.prior[pair], expected.prior, "float32")
            close(found.null[pair], expected.null, "float32")
            pooled = slow_reference.similarities(numbers["unit"], liked, [1] * len(liked), item)
            for name, value in pooled.items():
                close(getattr(found, name)[pair], value, "float32")
            strongest = int(found.strongest[pair])
            assert (strongest == -1) == (not slots)
            if slots:
                assert mine.start <= strongest < mine.stop
                assert expected.slots[strongest - first] >= max(expected.slots) - 1e-5
            pair += 1
        first += len(slots)


@EVERY_QUICK_BACKEND
@FEWER
@given(case=CASES, seed=SEEDS, n_kept=st.integers(1, 3))
def test_pairs_are_the_definition_also_where_older_slots_are_searched(
    backend: Scorer, case: list[tuple[list[int], list[int]]], seed: int, n_kept: int
) -> None:
    tables, (memories, asked) = random_tables(seed), inputs(case, seed)
    packed = PackedTables.of(tables)
    older = torch.rand(len(memories.rows), generator=torch.Generator().manual_seed(seed)) < 0.6
    memories = replace(memories, retrieved=RetrievedSlots(older, n_kept))
    found, expected = backend(packed, memories, asked), match_pairs_reference(packed, memories, asked)
    same(replace(found, strongest=expected.strongest), expected)
    close(PackedTables.of(tables, torch.float16).rows(torch.arange(N_TEXTS), 0), tables.unit, "exact")


@FEWER
@given(case=CASES, seed=SEEDS, cells=st.integers(1, 400))
def test_how_blocks_are_cut_changes_nothing(case: list[tuple[list[int], list[int]]], seed: int, cells: int) -> None:
    tables, (memories, asked) = random_tables(seed), inputs(case, seed)
    packed = PackedTables.of(tables)
    whole = match_pairs_torch(packed, memories, asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs_torch_module, "BLOCK_CELLS", cells)
        same(match_pairs_torch(packed, memories, asked), whole)


@EVERY_QUICK_BACKEND
@pytest.mark.parametrize(("n_slots", "dim", "n_heads", "head_dim"), [(1, 5, 1, 1), (200, 48, 3, 20), (37, 384, 4, 32)])
def test_pairs_are_the_definition_at_real_shapes(
    backend: Scorer, n_slots: int, dim: int, n_heads: int, head_dim: int
) -> None:
    packed = PackedTables.of(random_tables(1, n_heads, head_dim, dim))
    rows = np.random.default_rng(0).integers(N_TEXTS, size=(3, n_slots)).tolist()
    case = [(rows[0], [1, 2, 3]), ([], [0, 4]), (rows[1], list(range(N_TEXTS)) * 12), (rows[2][:1], [5])]
    memories, asked = inputs(case, 1, n_heads)
    found, expected = backend(packed, memories, asked), match_pairs_reference(packed, memories, asked)
    close(found.score / 8, expected.score / 8, "float32")
    for name in ("similarity_max", "similarity_mean", "similarity_top3", "similarity_last"):
        close(getattr(found, name), getattr(expected, name), "float32")


@pytest.mark.skipif(find_spec("numba") is None, reason="pip install 'recmem[numba]'")
@FEWER
@given(case=CASES, seed=SEEDS, data=st.data())
def test_numba_gives_a_pair_the_same_bits_whatever_is_beside_it(
    case: list[tuple[list[int], list[int]]], seed: int, data: st.DataObject
) -> None:
    packed, (memories, asked) = PackedTables.of(random_tables(seed)), inputs(case, seed)
    whole = numba_scorer(packed, memories, asked)
    some = data.draw(st.lists(st.integers(0, len(case) - 1), min_size=1, max_size=3))
    slots, pairs = (
        torch.cat([torch.arange(*bounds[m : m + 2]) for m in some]) for bounds in (memories.offsets, asked.offsets)
    )
    lengths = [memories.offsets.diff()[some], asked.offsets.diff()[some]]
    offsets = [torch.cat([torch.zeros(1, dtype=torch.int64), length.cumsum(0)]) for length in lengths]
    few = Memories(
        memories.rows[slots], offsets[0], memories.counted[slots], memories.bias[slots], memories.sign[slots]
    )
    found = numba_scorer(packed, few, PairCandidates(asked.rows[pairs], offsets[1]))
    for field in fields(PairScores):
        if field.name != "strongest":
            assert torch.equal(getattr(found, field.name), getattr(whole, field.name)[pairs])


@pytest.mark.skipif(find_spec("numba") is None, reason="pip install 'recmem[numba]'")
def test_numba_gives_the_same_bits_in_many_threads_and_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    case = [(rng.integers(N_TEXTS, size=n).tolist(), rng.integers(N_TEXTS, size=40).tolist()) for n in (0, 3, 50, 200)]
    packed, (memories, asked) = PackedTables.of(random_tables(3)), inputs(case * 5, 3)
    whole = numba_scorer(packed, memories, asked)
    monkeypatch.setattr(importlib.import_module("recmem.kernels.pairs_numba"), "PIECE_CELLS", 64)
    cut = numba_scorer(packed, memories, asked)
    assert all(torch.equal(getattr(cut, field.name), getattr(whole, field.name)) for field in fields(PairScores))


def test_numba_says_why_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    (memories, asked), half = inputs([([1], [3])], 3), PackedTables.of(random_tables(3), torch.float16)
    assert why_not_numba(half) == "the tables are float16, and numba reads float32"
    if find_spec("numba"):
        with pytest.raises(RuntimeError, match=r"expected float32 tables on a CPU for numba, got float16 on cpu"):
            match_pairs(half, memories, asked, backend="numba")
    packed = PackedTables.of(random_tables(3))
    with monkeypatch.context() as patch:
        patch.setattr(kernels_module, "machine", lambda: "x86_64")
        patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
        assert why_not_numba(packed) == "the processor has no AVX2, without which torch alone is quicker"
    monkeypatch.setattr(kernels_module, "find_spec", lambda name: None)
    assert why_not_numba(packed) == "numba is not installed: pip install 'recmem[numba]'"
    with pytest.raises(RuntimeError, match=r"got numba: numba is not installed: pip install 'recmem\[numba\]'"):
        match_pairs(packed, memories, asked, backend="numba")
    close(match_pairs(packed, memories, asked).score, match_pairs_torch(packed, memories, asked).score, "exact")


@EVERY_BACKEND
def test_no_pairs_give_no_scores(backend: Scorer) -> None:
    memories, asked = inputs([([1, 2], []), ([], [])], 0)
    assert backend(PackedTables.of(random_tables(0)), memories, asked).score.shape == (0,)


@pytest.mark.parametrize("row", [-1, N_TEXTS])
def test_a_row_outside_the_tables_is_refused(row: int) -> None:
    packed, (memories, asked) = PackedTables.of(random_tables(0)), inputs([([1, 2], [3])], 0)
    with pytest.raises(IndexError, match=rf"asked\.rows: expected 0 \.\. {N_TEXTS - 1}, got {row}"):
        check_rows(packed, memories, replace(asked, rows=torch.tensor([row])))
    with pytest.raises(IndexError, match=r"memories\.rows: expected 0"):
        check_rows(packed, replace(memories, rows=torch.tensor([1, row])), asked)


@pytest.mark.parametrize("name", ["auto", "torch", "reference"])
def test_named_backends_give_the_same_scores(name: Backend) -> None:
    packed, (memories, asked) = PackedTables.of(random_tables(3)), inputs([([1, 2], [3, 4]), ([], [0])], 3)
    found = match_pairs(packed, memories, asked, backend=name)
    close(found.score, match_pairs_reference(packed, memories, asked).score, "float32")


def test_a_backend_that_is_none_is_refused() -> None:
    packed, (memories, asked) = PackedTables.of(random_tables(3)), inputs([([1], [3])], 3)
    with pytest.raises(
        ValueError, match=r"backend: expected one of auto, numba, torch, reference, triton, got 'fast'\."
    ):
        match_pairs(packed, memories, asked, backend=cast(Backend, "fast"))


def test_triton_named_where_it_is_not_installed_is_refused_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    packed, (memories, asked) = PackedTables.of(random_tables(3)), inputs([([1], [3])], 3)
    monkeypatch.setattr(kernels_module, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"got triton: triton is not installed: pip install 'recmem\[triton\]'"):
        match_pairs(packed, memories, asked, backend="triton")


def test_one_memory_with_very_many_candidates_is_scored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    packed, (memories, asked) = PackedTables.of(random_tables(5)), inputs([([1, 2], [3, 4, 5, 6] * 30)], 5)
    monkeypatch.setattr(pairs_torch_module, "BLOCK_CELLS", 16 * 50)
    sizes = []
    monkeypatch.setattr(pairs_torch_module, "_ends", lambda pieces: sizes.extend(pieces) or range(1, len(pieces) + 1))
    same(match_pairs_torch(packed, memories, asked), match_pairs_reference(packed, memories, asked))
    assert sizes == [[2, 20], [2, 50], [2, 50]]


def test_why_triton_cannot_run_is_told() -> None:
    packed, (memories, _) = PackedTables.of(random_tables(0)), inputs([([1], [2])], 0)
    if packed.unit.device.type == "cpu":
        assert why_not_triton(packed, memories) == "the tables are on cpu, and Triton needs CUDA"


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, "tf32"), (torch.bfloat16, "bfloat16")])
def test_rounded_tables_score_nearly_the_same(dtype: torch.dtype, tolerance: str) -> None:
    tables, (memories, asked) = random_tables(4, head_dim=1), inputs([([1, 2, 3], [3, 4, 8]), ([5], [0])], 4)
    rounded = match_pairs_torch(PackedTables.of(tables, dtype), memories, asked)
    close(
        rounded.similarity_max,
        match_pairs_reference(PackedTables.of(tables), memories, asked).similarity_max,
        tolerance,
    )


def test_int8_rows_are_within_half_a_step_of_what_they_round() -> None:
    tables = random_tables(6)
    packed = PackedTables.of(tables, torch.int8)
    assert packed.scales is not None
    error = (packed.rows(torch.arange(N_TEXTS), 0) - tables.unit).abs()
    assert (error <= packed.scales[:, :1] / 2 * (1 + 1e-5)).all()
    assert error.max() > 0
