"""The largest products with a table: every backend against a sort of all products."""

from __future__ import annotations

import os
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recmem.kernels import backends, top_k_torch
from recmem.kernels.top_k import FEW_QUERIES, TopBackend, _fastest, top_rows
from recmem.matching.text_search import ExactSearch
from recmem.text.unit_vectors import exact_units

FEWER = settings(max_examples=25, deadline=None)  # Triton's interpreter takes its time


def unit_vectors(n: int, dim: int = 16, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return exact_units(torch.randn((n, dim), generator=generator))


def ways_of(backend: TopBackend, *devices: str) -> list[object]:
    """Parameters (backend, device), skipped where the package or the device is missing."""
    missing = find_spec(backend) is None
    no_interpreter = backend == "triton" and os.environ.get("TRITON_INTERPRET") != "1"
    marks = {
        "cpu": [pytest.mark.skipif(no_interpreter, reason="Triton's interpreter is off on a machine with a GPU")],
        "cuda": [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")],
    }
    installed = pytest.mark.skipif(missing, reason=f"pip install 'recmem[{backend}]'")
    return [pytest.param(backend, device, marks=[installed, *marks[device]]) for device in devices]


TRITON = ways_of("triton", "cpu", "cuda")
EVERY_WAY = pytest.mark.parametrize(
    ("backend", "on"), [*ways_of("torch", "cpu", "cuda"), *ways_of("numba", "cpu"), *TRITON]
)


def found(table: torch.Tensor, queries: torch.Tensor, k: int, backend: TopBackend, on: str) -> np.ndarray:
    return top_rows(table.to(on, torch.float16), queries.to(on, torch.float16), k, backend=backend)


def sorted_rows(table: torch.Tensor, queries: torch.Tensor, k: int) -> np.ndarray:
    return np.argsort(-(queries.double() @ table.double().T).numpy(), axis=1, kind="stable")[:, :k]


@EVERY_WAY
@FEWER
@given(st.integers(1, 400), st.integers(1, 6), st.integers(1, 50), st.integers(1, 2000), st.integers(0, 99))
def test_rows_are_those_of_a_sort(
    backend: TopBackend, on: str, n_items: int, n_queries: int, k: int, cells: int, seed: int
) -> None:
    table = unit_vectors(n_items, seed=seed)
    queries = unit_vectors(n_queries, seed=seed + 1)
    k = min(k, n_items)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_k_torch, "BLOCK_CELLS", cells)
        patch.setattr(top_k_torch, "CUDA_BLOCK_CELLS", cells)
        rows = found(table, queries, k, backend, on)
    assert np.array_equal(rows, sorted_rows(table, queries, k))


@EVERY_WAY
@FEWER
@given(st.lists(st.integers(0, 3), min_size=1, max_size=300), st.integers(1, 9), st.integers(1, 2000))
def test_ties_go_by_their_rows(backend: TopBackend, on: str, texts: list[int], k: int, cells: int) -> None:
    distinct = unit_vectors(4)
    table = distinct[torch.tensor(texts)]
    k = min(k, len(texts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_k_torch, "BLOCK_CELLS", cells)
        patch.setattr(top_k_torch, "CUDA_BLOCK_CELLS", cells)
        rows = found(table, distinct, k, backend, on)
    assert np.array_equal(rows, sorted_rows(table, distinct, k))


@EVERY_WAY
@pytest.mark.parametrize(
    ("n_items", "n_queries", "k", "dim"), [(4000, 40, 100, 16), (3001, 300, 7, 21), (700, 2, 5, 130), (5, 0, 2, 3)]
)
def test_many_queries_on_many_rows(
    backend: TopBackend, on: str, n_items: int, n_queries: int, k: int, dim: int
) -> None:
    table = unit_vectors(n_items, dim)
    queries = unit_vectors(n_queries, dim, seed=1)
    assert np.array_equal(found(table, queries, k, backend, on), sorted_rows(table, queries, k))


@pytest.mark.parametrize(("backend", "on"), TRITON)
def test_triton_takes_queries_in_parts(backend: TopBackend, on: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from recmem.kernels import top_k_triton

    table = unit_vectors(900, 40)
    queries = unit_vectors(7, 40, seed=1)
    monkeypatch.setattr(top_k_triton, "CELLS", 3 * 29)
    rows = found(table, queries, 6, backend, on)
    assert np.array_equal(rows, sorted_rows(table, queries, 6))


def test_exact_search_finds_the_rows_of_a_sort_and_at_most_all_of_them(device: torch.device) -> None:
    table = unit_vectors(40).to(device)
    queries = unit_vectors(3, seed=1).to(device)
    for k in (7, 100):
        assert np.array_equal(ExactSearch(table).nearest(queries, k), sorted_rows(table.cpu(), queries.cpu(), k))
    noisy = torch.nn.functional.normalize(queries + 1e-3, dim=1)
    rounded = noisy.half().cpu()
    assert np.array_equal(ExactSearch(table).nearest(noisy, 7), sorted_rows(table.cpu(), rounded, 7))


@pytest.mark.parametrize("n_queries", [1, FEW_QUERIES, FEW_QUERIES + 1])
def test_few_and_many_queries_find_the_rows_of_a_sort(device: torch.device, n_queries: int) -> None:
    texts = unit_vectors(300)[torch.arange(900) % 300]  # each of them three times: ties
    queries = unit_vectors(n_queries, seed=1)
    rows = top_rows(texts.to(device, torch.float16), queries.to(device, torch.float16), 20)
    assert np.array_equal(rows, sorted_rows(texts, queries, 20))


@pytest.mark.skipif(find_spec("triton") is None, reason="pip install 'recmem[triton]'")
def test_on_a_gpu_few_queries_take_torch_and_many_triton() -> None:
    class OnGpu:
        device = torch.device("cuda")
        dtype = torch.float16

    assert _fastest(OnGpu(), 1) == _fastest(OnGpu(), FEW_QUERIES) == "torch"  # type: ignore[arg-type]
    assert _fastest(OnGpu(), FEW_QUERIES + 1) == "triton"  # type: ignore[arg-type]


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match=r"backend: expected one of auto, torch, numba, triton, got 'gpu'"):
        top_rows(unit_vectors(3), unit_vectors(1), 1, backend="gpu")  # type: ignore[arg-type]


@pytest.mark.skipif(find_spec("numba") is None, reason="pip install 'recmem[numba]'")
def test_without_the_instructions_that_widen_float16_torch_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    from recmem.kernels import tiles_numba

    # LLVM would end the process.
    monkeypatch.setattr(tiles_numba, "CAN_WIDEN", False)
    monkeypatch.setattr(backends, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    table = unit_vectors(9).half()
    assert top_rows(table, table[:1], 1).tolist() == [[0]]
    with pytest.raises(RuntimeError, match=r"expected a processor with F16C for numba, got one without\. Use 'auto'"):
        top_rows(table, table[:1], 1, backend="numba")


def test_a_backend_that_cannot_run_names_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    table = unit_vectors(9)
    queries = unit_vectors(1)
    if find_spec("numba"):
        with pytest.raises(RuntimeError, match=r"got 'numba', which needs float16, for a float32 table"):
            top_rows(table, queries, 1, backend="numba")
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"got 'triton', which is not installed. Run pip install 'recmem\[triton\]'"):
        top_rows(table, queries, 1, backend="triton")


@pytest.mark.skipif(find_spec("triton") is None, reason="pip install 'recmem[triton]'")
def test_triton_names_the_reason_why_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(RuntimeError, match=r"got 'triton', which needs CUDA, for a table on cpu"):
        top_rows(unit_vectors(99), unit_vectors(1), 1, backend="triton")
