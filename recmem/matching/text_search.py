"""Nearest-neighbour search among text vectors: exact in torch, or approximate with faiss."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from jaxtyping import Float
from torch import Tensor

from feature_store.arrays import IntArray
from recmem.kernels.top_k import top_rows
from recmem.matching.faiss_search import graph_search, list_search

SearchBackend = Literal["exact", "faiss", "faiss-graph"]


class TextSearch(Protocol):
    """A search index over a table of unit vectors."""

    def nearest(self, queries: Float[Tensor, "query dim"], k: int) -> IntArray:
        """The `k` rows with the largest cosine to each query, best first: int64[query, k], -1 if fewer are found."""
        ...


class ExactSearch:
    """Computes every cosine, on the device of the table. Equal cosines go by row.

    Vectors are rounded to float16, which holds those of `recmem.text.unit_vectors.exact_units` as they are.
    """

    def __init__(self, unit: Float[Tensor, "item dim"]) -> None:
        self._unit = unit.half().contiguous()

    def nearest(self, queries: Float[Tensor, "query dim"], k: int) -> IntArray:
        """See `TextSearch.nearest`. With fewer than k rows, it returns all of them."""
        return top_rows(self._unit, queries.half().contiguous(), min(k, len(self._unit)))


def text_search(unit: Float[Tensor, "item dim"], backend: SearchBackend) -> TextSearch:
    """The search over these vectors. Raises DataError if the backend is one of faiss's and it is not installed."""
    if backend == "exact":
        return ExactSearch(unit)
    return list_search(unit) if backend == "faiss" else graph_search(unit)


def recall(search: TextSearch, unit: Float[Tensor, "item dim"], queries: Float[Tensor, "query dim"], k: int) -> float:
    """Share of the exact `k` nearest rows that `search` finds, 0 to 1."""
    exact = ExactSearch(unit).nearest(queries, k)
    found = search.nearest(queries, k)
    n_hits = sum(len(np.intersect1d(*pair)) for pair in zip(exact, found, strict=True))
    return n_hits / max(exact.size, 1)
