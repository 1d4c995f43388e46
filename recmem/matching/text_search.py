"""Nearest-neighbour search among text vectors: exact in torch, or approximate with faiss."""

from __future__ import annotations

import math
from threading import Lock
from typing import Any, Literal, Protocol

import numpy as np
from jaxtyping import Float
from torch import Tensor

from feature_store import DataError
from feature_store.arrays import IntArray
from feature_store.extras import install_command
from recmem.kernels.top_k import top_rows

SearchBackend = Literal["exact", "faiss"]
PROBED_SHARE = 1 / 16
"""Share of its cells that faiss searches for a query. More cells: better recall, slower search."""
CELLS_PER_SQRT_ROW = 4
"""faiss advises 4 to 16 cells for each square root of the number of rows."""
ROWS_PER_CELL = 39
"""Rows that faiss wants for each cell to learn its centre from."""


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


class FaissSearch:
    """Approximate search with faiss's inverted lists: of the cells around learned centres, a share is searched.

    `recall` measures how much it finds.
    """

    def __init__(self, unit: Float[Tensor, "item dim"]) -> None:
        faiss = _faiss()
        vectors = unit.float().cpu().numpy()
        n_cells = round(CELLS_PER_SQRT_ROW * math.sqrt(len(vectors)))
        # A table too small for two cells is one cell, which every query searches whole.
        n_cells = max(min(n_cells, len(vectors) // ROWS_PER_CELL), 1)
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
    """The search over these vectors. Raises DataError if the backend is faiss and it is not installed."""
    return FaissSearch(unit) if backend == "faiss" else ExactSearch(unit)


def recall(search: TextSearch, unit: Float[Tensor, "item dim"], queries: Float[Tensor, "query dim"], k: int) -> float:
    """Share of the exact `k` nearest rows that `search` finds, 0 to 1."""
    exact = ExactSearch(unit).nearest(queries, k)
    found = search.nearest(queries, k)
    n_hits = sum(len(np.intersect1d(*pair)) for pair in zip(exact, found, strict=True))
    return n_hits / max(exact.size, 1)


def _faiss() -> Any:
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise DataError(
            f"retrieval.search: expected the Python package faiss, got none. Run {install_command('faiss')} "
            "(on a GPU machine with the extra faiss-gpu), or use exact search."
        ) from error
    return faiss
