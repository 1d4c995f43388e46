"""Search among text vectors. tests/recmem/kernels/test_top_k.py compares exact search with a sort."""

from __future__ import annotations

import torch

from feature_store.arrays import IntArray
from recmem.matching.text_search import ExactSearch, SearchBackend, recall, text_search


def unit_vectors(n: int, dim: int = 16, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn((n, dim), generator=generator), dim=1)


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


def test_a_search_is_chosen_by_its_name() -> None:
    unit = unit_vectors(9)
    assert isinstance(text_search(unit, "exact"), ExactSearch)
    names: tuple[SearchBackend, ...] = ("faiss", "faiss-graph")
    assert [type(text_search(unit, name)._index).__name__ for name in names] == [  # type: ignore[attr-defined]
        "IndexIVFScalarQuantizer",
        "IndexHNSWSQ",
    ]
