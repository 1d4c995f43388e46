"""The largest products with a table: every backend against a sort of all products."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recmem.kernels import backends, top_k_torch
from recmem.kernels.top_k import TopBackend, top_rows
from recmem.matching.text_search import ExactSearch
from recmem.text.unit_vectors import exact_units

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FEWER = settings(max_examples=25, deadline=None)  # Triton's interpreter takes its time


def unit_vectors(n: int, dim: int = 16, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return exact_units(torch.randn((n, dim), generator=generator))


def extra(backend: TopBackend) -> object:
    missing = find_spec(backend) is None
    return pytest.param(backend, marks=pytest.mark.skipif(missing, reason=f"pip install 'recmem[{backend}]'"))


EVERY_BACKEND = pytest.mark.parametrize("backend", ["torch", extra("numba"), extra("triton")])


def found(
    table: torch.Tensor, queries: torch.Tensor, k: int, backend: TopBackend, *, dtype: torch.dtype = torch.float16
) -> np.ndarray:
    device = DEVICE if backend == "triton" else torch.device("cpu")
    return top_rows(table.to(device, dtype), queries.to(device, dtype), k, backend=backend)


def sorted_rows(table: torch.Tensor, queries: torch.Tensor, k: int) -> np.ndarray:
    return np.argsort(-(queries.double() @ table.double().T).numpy(), axis=1, kind="stable")[:, :k]


@EVERY_BACKEND
@FEWER
@given(st.integers(1, 400), st.integers(1, 6), st.integers(1, 50), st.integers(1, 2000), st.integers(0, 99))
def test_rows_are_those_of_a_sort(
    backend: TopBackend, n_items: int, n_queries: int, k: int, cells: int, seed: int
) -> None:
    table = unit_vectors(n_items, seed=seed)
    queries = unit_vectors(n_queries, seed=seed + 1)
    k = min(k, n_items)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_k_torch, "BLOCK_CELLS", cells)
        rows = found(table, queries, k, backend)
    assert np.array_equal(rows, sorted_rows(table, queries, k))


@EVERY_BACKEND
@FEWER
@given(st.lists(st.integers(0, 3), min_size=1, max_size=300), st.integers(1, 9), st.integers(1, 2000))
def test_ties_go_by_their_rows(backend: TopBackend, texts: list[int], k: int, cells: int) -> None:
    distinct = unit_vectors(4)
    table = distinct[torch.tensor(texts)]
    k = min(k, len(texts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_k_torch, "BLOCK_CELLS", cells)
        rows = found(table, distinct, k, backend)
    assert np.array_equal(rows, sorted_rows(table, distinct, k))


@EVERY_BACKEND
@pytest.mark.parametrize(
    ("n_items", "n_queries", "k", "dim"), [(4000, 40, 100, 16), (3001, 300, 7, 21), (700, 2, 5, 130), (5, 0, 2, 3)]
)
def test_many_queries_on_many_rows(backend: TopBackend, n_items: int, n_queries: int, k: int, dim: int) -> None:
    table = unit_vectors(n_items, dim)
    queries = unit_vectors(n_queries, dim, seed=1)
    assert np.array_equal(found(table, queries, k, backend), sorted_rows(table, queries, k))


@pytest.mark.skipif(find_spec("triton") is None, reason="pip install 'recmem[triton]'")
def test_triton_reads_float16_and_takes_queries_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from recmem.kernels import top_k_triton

    table = unit_vectors(900, 40)
    queries = unit_vectors(7, 40, seed=1)
    monkeypatch.setattr(top_k_triton, "CELLS", 3 * 29)
    rows = found(table, queries, 6, "triton", dtype=torch.float16)
    assert np.array_equal(rows, sorted_rows(table, queries, 6))


def test_exact_search_finds_the_rows_of_a_sort_and_at_most_all_of_them() -> None:
    table = unit_vectors(40).to(DEVICE)
    queries = unit_vectors(3, seed=1).to(DEVICE)
    for k in (7, 100):
        assert np.array_equal(ExactSearch(table).nearest(queries, k), sorted_rows(table.cpu(), queries.cpu(), k))
    noisy = torch.nn.functional.normalize(queries + 1e-3, dim=1)
    rounded = noisy.half().cpu()
    assert np.array_equal(ExactSearch(table).nearest(noisy, 7), sorted_rows(table.cpu(), rounded, 7))


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match=r"backend: expected one of auto, torch, numba, triton, got 'gpu'"):
        top_rows(unit_vectors(3), unit_vectors(1), 1, backend="gpu")  # type: ignore[arg-type]


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
