"""Which backend scores pairs, and what is said where a named one cannot."""

from __future__ import annotations

from importlib.util import find_spec
from typing import cast

import pytest
import torch

from pair_cases import inputs, random_tables
from recmem.kernels import Backend, PackedTables, backends, match_pairs, why_not_numba, why_not_triton
from recmem.kernels.pairs_reference import match_pairs_reference
from recmem.kernels.pairs_torch import match_pairs_torch
from tolerances import close


@pytest.mark.parametrize("name", ["auto", "torch", "reference"])
def test_named_backends_give_the_same_scores(name: Backend) -> None:
    packed = PackedTables.of(random_tables(3))
    memories, candidates = inputs([([1, 2], [3, 4]), ([], [0])], 3)
    found = match_pairs(packed, memories, candidates, backend=name)
    close(found.score, match_pairs_reference(packed, memories, candidates).score, "float32")


def test_an_unknown_backend_is_refused() -> None:
    packed = PackedTables.of(random_tables(3))
    memories, candidates = inputs([([1], [3])], 3)
    with pytest.raises(
        ValueError, match=r"backend: expected one of auto, numba, torch, reference, triton, got 'fast'\."
    ):
        match_pairs(packed, memories, candidates, backend=cast(Backend, "fast"))


@pytest.mark.parametrize("name", ["auto", "torch", "reference"])
def test_no_backend_is_given_a_row_outside_the_tables(name: Backend) -> None:
    packed = PackedTables.of(random_tables(3))
    memories, candidates = inputs([([1], [99])], 3)
    with pytest.raises(IndexError, match=r"candidates\.rows: expected 0 \.\. 8, got 99 \.\. 99"):
        match_pairs(packed, memories, candidates, backend=name)


def test_triton_named_where_it_is_not_installed_is_refused_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = PackedTables.of(random_tables(3))
    memories, candidates = inputs([([1], [3])], 3)
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"got 'triton', which is not installed. Run pip install 'recmem\[triton\]'"):
        match_pairs(packed, memories, candidates, backend="triton")


def test_triton_does_not_score_tables_on_a_cpu() -> None:
    packed = PackedTables.of(random_tables(0))
    memories, _ = inputs([([1], [2])], 0)
    if packed.unit.device.type == "cpu":
        assert why_not_triton(packed, memories) == "the tables are on cpu, and Triton needs CUDA"


@pytest.mark.skipif(find_spec("numba") is None, reason="pip install 'recmem[numba]'")
def test_numba_is_refused_on_a_processor_that_cannot_widen_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    from recmem.kernels import tiles_numba

    monkeypatch.setattr(tiles_numba, "CAN_WIDEN", False)
    memories, candidates = inputs([([1], [3])], 3)
    with pytest.raises(RuntimeError, match=r"expected a processor with F16C for numba, got one without"):
        match_pairs(PackedTables.of(random_tables(3)), memories, candidates, backend="numba")


def test_numba_names_the_reason_why_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    memories, candidates = inputs([([1], [3])], 3)
    wide = PackedTables.of(random_tables(3), torch.float32)
    assert why_not_numba(wide) == "the tables are float32, and numba reads float16"
    if find_spec("numba"):
        with pytest.raises(RuntimeError, match=r"expected float16 tables on a CPU for numba, got float32 on cpu"):
            match_pairs(wide, memories, candidates, backend="numba")
    packed = PackedTables.of(random_tables(3))
    with monkeypatch.context() as patch:
        patch.setattr(backends, "machine", lambda: "x86_64")
        patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
        assert why_not_numba(packed) == "the processor has no AVX2, and without it torch is faster"
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    assert why_not_numba(packed) == "numba is not installed: pip install 'recmem[numba]'"
    with pytest.raises(RuntimeError, match=r"got 'numba', which is not installed. Run pip install 'recmem\[numba\]'"):
        match_pairs(packed, memories, candidates, backend="numba")
    auto = match_pairs(packed, memories, candidates)
    close(auto.score, match_pairs_torch(packed, memories, candidates).score, "exact")
