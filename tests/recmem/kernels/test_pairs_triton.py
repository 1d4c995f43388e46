"""The Triton kernel against the definition: on a GPU where there is one, in Triton's interpreter elsewhere."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from pair_cases import CASES, N_TEXTS, SEEDS, inputs, moved, random_tables
from recmem.kernels.match_reference import RetrievedSlots
from recmem.kernels.packed_tables import PackedTables
from recmem.kernels.pairs import Memories, PairCandidates, PairScores
from recmem.kernels.pairs_reference import match_pairs_reference
from tolerances import close

pytest.importorskip("triton", reason="pip install 'recmem[triton]'")
from recmem.kernels import pairs_triton
from recmem.kernels.pairs_triton import match_pairs_triton, why_not

FEWER = settings(max_examples=10, deadline=None)  # the interpreter takes its time
SIMILARITIES = ("similarity_max", "similarity_mean", "similarity_top3", "similarity_last")


def agree(
    device: torch.device,
    packed: PackedTables,
    memories: Memories,
    candidates: PairCandidates,
    tolerance: str = "float32",
) -> PairScores:
    found = match_pairs_triton(moved(packed, device), moved(memories, device), moved(candidates, device))
    expected = match_pairs_reference(packed, memories, candidates)
    size = max(1.0, float(expected.score.abs().max())) if len(candidates.rows) else 1.0
    close(found.score / size, expected.score / size, tolerance)
    for name in ("prior", *SIMILARITIES):
        close(getattr(found, name), getattr(expected, name), tolerance)
    return found


@FEWER
@given(case=CASES, seed=SEEDS)
def test_kernel_gives_the_definitions_scores(
    triton_device: torch.device, case: list[tuple[list[int], list[int]]], seed: int
) -> None:
    memories, candidates = inputs(case, seed)
    agree(triton_device, PackedTables.of(random_tables(seed)), memories, candidates)


@pytest.mark.parametrize(("dim", "heads"), list(product([6, 64, 100], [(1, 5), (3, 16), (4, 32)])))
def test_kernel_gives_the_definitions_scores_for_every_shape(
    triton_device: torch.device, dim: int, heads: tuple[int, int]
) -> None:
    rng = np.random.default_rng(dim)
    lengths = [(1, 3), (0, 2), (33, 70), (200, 1), (3, 0)]
    case = [tuple(rng.integers(N_TEXTS, size=n).tolist() for n in pair) for pair in lengths]
    memories, candidates = inputs(case, dim, heads[0])  # type: ignore[arg-type]
    agree(triton_device, PackedTables.of(random_tables(dim, *heads, dim)), memories, candidates)


@pytest.mark.parametrize(("lengths", "expected"), [([0], 16), ([3, 5], 16), ([16, 17], 32), ([200], 64), ([0, 64], 32)])
def test_a_block_of_slots_holds_the_average_memory(lengths: list[int], expected: int) -> None:
    assert pairs_triton._block_slot(sum(lengths), len(lengths)) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tables_of_other_types_give_the_definitions_scores(triton_device: torch.device, dtype: torch.dtype) -> None:
    memories, candidates = inputs([([1, 2, 3, 4], [5, 6, 7]), ([8], [0])], 2)
    packed = PackedTables.of(random_tables(2), dtype)
    is_exact = triton_device.type == "cpu" or dtype == torch.float32
    agree(triton_device, packed, memories, candidates, "float32" if is_exact else "bfloat16")


def test_no_pairs_give_no_scores(triton_device: torch.device) -> None:
    memories, candidates = inputs([([1], []), ([], [])], 0)
    packed = PackedTables.of(random_tables(0))
    assert agree(triton_device, packed, memories, candidates).score.shape == (0,)


def test_a_backend_that_cannot_run_says_why(triton_device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    memories, candidates = inputs([([1], [2])], 0)
    retrieved = replace(memories, retrieved=RetrievedSlots(torch.ones(1, dtype=torch.bool), 1))
    with pytest.raises(RuntimeError, match="got 'triton': the memories hold slots that are retrieved"):
        match_pairs_triton(
            moved(PackedTables.of(random_tables(0)), triton_device),
            moved(retrieved, triton_device),
            moved(candidates, triton_device),
        )
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "Triton needs CUDA" in str(why_not(PackedTables.of(random_tables(0)), memories))


def test_heads_that_do_not_fit_into_shared_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    memories, _ = inputs([([1], [2])], 0, 1)
    reasons = {head_dim: why_not(PackedTables.of(random_tables(0, 1, head_dim)), memories) for head_dim in (128, 129)}
    assert reasons == {128: None, 129: "heads of 129 numbers are too long, and this kernel reads at most 128"}


COMPILE = """
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from recmem.kernels import pairs_triton as kernel

function = kernel._score
numbers = {"prior", "null_value", "alpha", "gamma", "null_logit", "bias", "sign", "outputs"}
types = {name: "*i32" for name in function.arg_names} | {name: "*fp32" for name in numbers}
types |= {name: "*fp16" for name in ("unit", "slot_side", "cand_side")} | {"n_pairs": "i32"}
constants = dict(
    DIM=384, HEAD_DIM=32, HEADS=4, HEADS_PADDED=4, UPCAST=False, BLOCK_CAND=kernel.BLOCK_CAND,
    BLOCK_SLOT=kernel.LARGEST_BLOCK_SLOT, BLOCK_DIM=kernel.BLOCK_DIM, BLOCK_HEAD_DIM=32,
    DIM_STAGES=kernel.DIM_STAGES, HEAD_STAGES=kernel.HEAD_STAGES,
)
types |= {name: "constexpr" for name in constants}
aligned = {(place,): [["tt.divisibility", 16]] for place, name in enumerate(function.arg_names) if "*" in types[name]}
source = ASTSource(function, types, constexprs=constants, attrs=aligned)
made = compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": kernel.WARPS})
print(made.asm["ptx"].count("wgmma.mma_async"), made.asm["ptx"].count("cp.async.cg"))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="Triton's assembler for CUDA is for x86-64")
def test_the_kernel_compiles_for_an_h100_with_tensor_cores_and_copies_ahead(tmp_path: Path) -> None:
    # Triton's compiler needs no GPU, but another process: the interpreter that the tests run in is chosen at import.
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    made = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILE], env=environment, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    n_products, n_copies = map(int, made.stdout.split())
    assert n_products > 0
    assert n_copies > 0
