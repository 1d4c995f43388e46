"""Search among text vectors. tests/recmem/kernels/test_top_k.py compares exact search with a sort."""

from __future__ import annotations

import sys

import pytest
import torch

from feature_store import DataError
from feature_store.arrays import IntArray
from recmem.matching.text_search import ExactSearch, FaissSearch, recall, text_search


def unit_vectors(n: int, dim: int = 16, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn((n, dim), generator=generator), dim=1)


def test_faiss_finds_most_of_what_exact_search_finds() -> None:
    # Texts come in topics; random directions would be as far from each other as from any query.
    noise = torch.randn((4000, 32), generator=torch.Generator().manual_seed(1))
    unit = torch.nn.functional.normalize(unit_vectors(40, 32).repeat_interleave(100, 0) + 0.15 * noise, dim=1)
    share = recall(text_search(unit, "faiss"), unit, unit[::50], 20)
    assert 0.9 < share <= 1.0


def test_exact_search_goes_by_cosine_and_among_equals_by_row() -> None:
    unit = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.6, 0.8], [1.0, 0.0]])
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    search = text_search(unit, "exact")
    assert search.nearest(queries, 3).tolist() == [[1, 3, 2], [0, 2, 1]]
    assert search.nearest(queries, 9).tolist() == [[1, 3, 2, 0], [0, 2, 1, 3]]


def test_recall_is_the_share_of_the_exact_rows_that_are_found() -> None:
    class Half:
        def nearest(self, queries: torch.Tensor, k: int) -> IntArray:
            """The best row of each query, and nothing else."""
            found = ExactSearch(unit).nearest(queries, k)
            found[:, 1:] = -1
            return found

    unit = unit_vectors(9)
    assert recall(Half(), unit, unit[:3], 2) == 0.5
    assert recall(ExactSearch(unit), unit, unit[:3], 2) == 1.0


def test_faiss_searches_a_small_table_whole() -> None:
    unit = unit_vectors(30)
    assert recall(FaissSearch(unit), unit, unit_vectors(5, seed=3), 10) == 1.0


def test_a_missing_faiss_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(
        DataError, match=r"search: expected the Python package faiss, got none\. Run pip install 'recmem\[faiss\]'"
    ):
        text_search(unit_vectors(3), "faiss")
