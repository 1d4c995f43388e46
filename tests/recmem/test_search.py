"""The nearest texts: exact search against a sort of all cosines, faiss against exact search."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from feature_store import DataError
from recmem import search as search_module
from recmem.search import ExactSearch, FaissSearch, recall, text_search
from recmem.vectors import exact_units


def unit_vectors(n: int, dim: int = 16, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn((n, dim), generator=generator), dim=1)


def choose(patch: pytest.MonkeyPatch, way: str) -> None:
    if way == "torch":
        patch.setattr(search_module, "find_spec", lambda name: None)
    else:
        pytest.importorskip("numba", reason="pip install 'recmem[numba]'")


BOTH_WAYS = pytest.mark.parametrize("way", ["torch", "numba"])


@BOTH_WAYS
@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 50), st.integers(1, 100), st.integers(0, 99))
def test_exact_search_is_a_sort_of_all_cosines(
    way: str, n_items: int, n_queries: int, k: int, block: int, seed: int
) -> None:
    unit, queries = unit_vectors(n_items, seed=seed), unit_vectors(n_queries, seed=seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        choose(patch, way)
        patch.setattr(search_module, "BLOCK_CELLS", block)
        found = ExactSearch(unit).nearest(queries, k)
    expected = np.argsort(-(queries.double() @ unit.double().T).numpy(), axis=1)[:, :k]
    assert found.tolist() == expected.tolist()


@BOTH_WAYS
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 50), st.integers(1, 100))
def test_texts_that_are_equally_near_go_by_their_rows(way: str, texts: list[int], k: int, block: int) -> None:
    distinct = exact_units(unit_vectors(4))
    unit = distinct[torch.tensor(texts)]
    with pytest.MonkeyPatch.context() as patch:
        choose(patch, way)
        patch.setattr(search_module, "BLOCK_CELLS", block)
        found = ExactSearch(unit).nearest(distinct, k)
    expected = np.argsort(-(distinct @ unit.T).numpy(), axis=1, kind="stable")[:, :k]
    assert found.tolist() == expected.tolist()


@BOTH_WAYS
@pytest.mark.parametrize(("n_items", "n_queries", "k", "dim"), [(3000, 150, 100, 16), (3001, 300, 7, 21), (5, 0, 2, 3)])
def test_many_queries_on_many_rows_find_what_a_sort_finds(
    monkeypatch: pytest.MonkeyPatch, way: str, n_items: int, n_queries: int, k: int, dim: int
) -> None:
    choose(monkeypatch, way)
    unit, queries = exact_units(unit_vectors(n_items, dim)), exact_units(unit_vectors(n_queries, dim, seed=1))
    expected = np.argsort(-(queries.double() @ unit.double().T).numpy(), axis=1, kind="stable")[:, :k]
    assert np.array_equal(ExactSearch(unit).nearest(queries, k), expected)


def test_faiss_finds_most_of_what_exact_search_finds() -> None:
    # Texts come in topics; random directions would be as far from each other as from any query.
    noise = torch.randn((4000, 32), generator=torch.Generator().manual_seed(1))
    unit = torch.nn.functional.normalize(unit_vectors(40, 32).repeat_interleave(100, 0) + 0.15 * noise, dim=1)
    share = recall(text_search(unit, "faiss"), unit, unit[::50], 20)
    assert 0.9 < share <= 1.0


def test_faiss_searches_a_small_table_whole() -> None:
    unit = unit_vectors(30)
    assert recall(FaissSearch(unit), unit, unit_vectors(5, seed=3), 10) == 1.0


def test_a_missing_faiss_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(DataError, match=r"search: expected faiss to be installed.*pip install 'recmem\[faiss\]'"):
        text_search(unit_vectors(3), "faiss")
