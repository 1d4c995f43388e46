"""The texts nearest to other texts, in catalogues too large to be scored whole: exact in torch, or through faiss."""

from __future__ import annotations

import math
from threading import Lock
from typing import Any, Literal, Protocol

import numpy as np
from jaxtyping import Float
from torch import Tensor

from feature_store import DataError
from feature_store.arrays import IntArray
from recmem.kernels.top_k import top_rows

SearchBackend = Literal["exact", "faiss"]
PROBED_SHARE = 1 / 16
"""Share of the cells that faiss looks into: what its recall is paid with."""


class TextSearch(Protocol):
    """Finds rows of a table of unit vectors."""

    def nearest(self, queries: Float[Tensor, "query dim"], k: int) -> IntArray:
        """The `k` rows of the largest cosine to each query, best first: int64[query, k]; -1 where fewer were found."""
        ...


class ExactSearch:
    """Every cosine, on the device where the table lies. Equal ones go by row.

    On a GPU a table that float16 holds without loss is kept in it as well, for the tensor cores.
    """

    def __init__(self, unit: Float[Tensor, "item dim"]) -> None:
        self._unit = unit.contiguous()
        half = self._unit.half() if unit.is_cuda else None
        self._half = half if half is not None and bool((half == self._unit).all()) else None

    def nearest(self, queries: Float[Tensor, "query dim"], k: int) -> IntArray:
        """See `TextSearch.nearest`; k is at most the number of rows."""
        k, half = min(k, len(self._unit)), queries.half()
        if self._half is not None and bool((half == queries).all()):
            return top_rows(self._half, half.contiguous(), k)
        return top_rows(self._unit, queries.contiguous(), k)


class FaissSearch:
    """faiss's inverted lists: cells around centres, of which a share is looked into. Approximate: see `recall`."""

    def __init__(self, unit: Float[Tensor, "item dim"]) -> None:
        faiss = _faiss()
        vectors = unit.float().cpu().numpy()
        # faiss asks for 39 rows a cell to learn the centres from; fewer than that is one cell, retrieved whole.
        n_cells = max(min(round(4 * math.sqrt(len(vectors))), len(vectors) // 39), 1)
        self._index = faiss.index_factory(vectors.shape[1], f"IVF{n_cells},Flat", faiss.METRIC_INNER_PRODUCT)
        self._index.nprobe = max(math.ceil(n_cells * PROBED_SHARE), 1)
        if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0:
            self._index = faiss.index_cpu_to_all_gpus(self._index)
        self._index.train(vectors)
        self._index.add(vectors)
        self._lock = Lock()  # an index on a GPU answers one thread at a time

    def nearest(self, queries: Float[Tensor, "query dim"], k: int) -> IntArray:
        """See `TextSearch.nearest`."""
        with self._lock:
            _, rows = self._index.search(queries.float().cpu().numpy(), min(k, self._index.ntotal))
        found: IntArray = rows.astype(np.int64)
        return found


def text_search(unit: Float[Tensor, "item dim"], backend: SearchBackend) -> TextSearch:
    """The search over these vectors. Raises DataError where faiss is asked for and not installed."""
    return FaissSearch(unit) if backend == "faiss" else ExactSearch(unit)


def recall(search: TextSearch, unit: Float[Tensor, "item dim"], queries: Float[Tensor, "query dim"], k: int) -> float:
    """Share of the exact `k` nearest rows that `search` finds, 0 to 1."""
    exact, found = ExactSearch(unit).nearest(queries, k), search.nearest(queries, k)
    hits = [len(np.intersect1d(*pair)) for pair in zip(exact, found, strict=True)]
    return sum(hits) / max(exact.size, 1)


def _faiss() -> Any:
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise DataError(
            "retrieval.search: expected faiss to be installed, got none. pip install 'recmem[faiss]' (or 'recmem[gpu]' "
            "on a GPU machine), or leave the search exact."
        ) from error
    return faiss
