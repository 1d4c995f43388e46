"""The nearest texts: faiss against exact search; tests/recmem/kernels/test_top_k.py holds that against a sort."""

from __future__ import annotations

import sys

import pytest
import torch

from feature_store import DataError
from recmem.matching.text_search import FaissSearch, recall, text_search


def unit_vectors(n: int, dim: int = 16, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn((n, dim), generator=generator), dim=1)


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
