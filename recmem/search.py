"""The texts nearest to other texts, in catalogues too large to be scored whole: exact in torch, or through faiss."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any, Literal, Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from feature_store import DataError

IntArray = NDArray[np.int64]

SearchBackend = Literal["exact", "faiss"]
BLOCK_CELLS = 16_000_000
"""Cosines that exact search holds at once."""
PROBED_SHARE = 1 / 16
"""Share of the cells that faiss looks into: what its recall is paid with."""


class TextSearch(Protocol):
    """Finds rows of a table of unit vectors."""

    def nearest(self, queries: Float[Tensor, "query dim"], k: int) -> IntArray:
        """The `k` rows of the largest cosine to each query, best first: int64[query, k]; -1 where fewer were found."""
        ...


class ExactSearch:
    """Every cosine, on the device where the table lies. Equal ones go by row.

    On a CPU with numba the selection goes along with the products; elsewhere blocks of the table go through torch.
    """

    def __init__(self, unit: Float[Tensor, "item dim"]) -> None:
        self._unit = unit.contiguous()

    def nearest(self, queries: Float[Tensor, "query dim"], k: int) -> IntArray:
        """See `TextSearch.nearest`; k is at most the number of rows."""
        k = min(k, len(self._unit))
        numbers = (self._unit, queries)
        if find_spec("numba") is None or any(
            part.device.type != "cpu" or part.dtype != torch.float32 for part in numbers
        ):
            return self._blocked(queries, k)
        from recmem.kernels.top_numba import top_rows  # an extra, and slow to import

        table, asked = (part.detach().contiguous().numpy() for part in numbers)
        return top_rows(table, asked, k, n_threads=torch.get_num_threads())

    def _blocked(self, queries: Float[Tensor, "query dim"], k: int) -> IntArray:
        size = max(BLOCK_CELLS // max(len(queries), 1), k)
        best = queries.new_full((len(queries), 0), 0.0)
        rows = torch.empty((len(queries), 0), dtype=torch.int64, device=queries.device)
        for begin in range(0, len(self._unit), size):
            cosine = queries @ self._unit[begin : begin + size].T
            block, places = largest(cosine, min(k, cosine.shape[1]))
            best, kept = torch.cat([best, block], dim=1).sort(dim=1, descending=True, stable=True)
            rows = torch.cat([rows, places + begin], dim=1).gather(1, kept)[:, :k]
            best = best[:, :k]
        found: IntArray = rows.cpu().numpy()
        return found


def largest(scores: Float[Tensor, "row place"], k: int) -> tuple[Float[Tensor, "row k"], Int[Tensor, "row k"]]:
    """The `k` largest scores of each row and their places, best first; equal ones in the order of their places."""
    values, places = scores.topk(k, dim=1)
    border = values[:, -1:]
    is_torn = (scores == border).sum(1) > (values == border).sum(1)
    if bool(is_torn.any()):
        places[is_torn] = scores[is_torn].sort(dim=1, descending=True, stable=True).indices[:, :k]
    places = places.sort(dim=1).values
    values, order = scores.gather(1, places).sort(dim=1, descending=True, stable=True)
    return values, places.gather(1, order)


class FaissSearch:
    """faiss's inverted lists: cells around centres, of which a share is looked into. Approximate: see `recall`."""

    def __init__(self, unit: Float[Tensor, "item dim"]) -> None:
        faiss = _faiss()
        vectors = unit.float().cpu().numpy()
        # faiss asks for 39 rows a cell to learn the centres from; fewer than that is one cell, searched whole.
        n_cells = max(min(round(4 * math.sqrt(len(vectors))), len(vectors) // 39), 1)
        self._index = faiss.index_factory(vectors.shape[1], f"IVF{n_cells},Flat", faiss.METRIC_INNER_PRODUCT)
        self._index.nprobe = max(math.ceil(n_cells * PROBED_SHARE), 1)
        if hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0:
            self._index = faiss.index_cpu_to_all_gpus(self._index)
        self._index.train(vectors)
        self._index.add(vectors)

    def nearest(self, queries: Float[Tensor, "query dim"], k: int) -> IntArray:
        """See `TextSearch.nearest`."""
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
