"""Rows of a table with the largest products with queries: one contract, plain torch, and the backends beside it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

TopBackend = Literal["auto", "torch", "numba", "triton"]
BLOCK_CELLS = 16_000_000
"""Products that plain torch holds at once."""


def top_rows(
    table: Float[Tensor, "item dim"], queries: Float[Tensor, "query dim"], k: int, *, backend: TopBackend = "auto"
) -> NDArray[np.int64]:
    """Rows of the `k` largest products with each query, best first, equal ones in order: int64[query, k].

    `k` is at most the number of rows; both tensors are contiguous, of one type and on one device. "auto" takes Triton
    on CUDA, numba on a CPU for float32, where these are installed, else plain torch. All give the same rows where the
    products are exact in float32, as those of `recmem.vectors.exact_units` are.
    """
    if backend not in get_args(TopBackend):
        raise ValueError(f"backend: expected one of {', '.join(get_args(TopBackend))}, got {backend!r}. Name one.")
    chosen = _quickest(table) if backend == "auto" else backend
    # Extras, and slow to import.
    if chosen == "triton":
        from recmem.kernels.top_triton import top_rows_triton

        return top_rows_triton(table, queries, k)
    if chosen == "numba":
        from recmem.kernels.top_numba import top_rows_numba

        rows, asked = (part.detach().numpy() for part in (table, queries))
        return top_rows_numba(rows, asked, k, n_threads=torch.get_num_threads())
    return top_rows_torch(table, queries, k)


def top_rows_torch(table: Float[Tensor, "item dim"], queries: Float[Tensor, "query dim"], k: int) -> NDArray[np.int64]:
    """See `top_rows`: block by block of the table, in plain torch."""
    size = max(BLOCK_CELLS // max(len(queries), 1), k)
    best = queries.new_full((len(queries), 0), 0.0)
    rows = torch.empty((len(queries), 0), dtype=torch.int64, device=queries.device)
    for begin in range(0, len(table), size):
        products = queries @ table[begin : begin + size].T
        block, places = largest(products, min(k, products.shape[1]))
        best, kept = torch.cat([best, block], dim=1).sort(dim=1, descending=True, stable=True)
        rows = torch.cat([rows, places + begin], dim=1).gather(1, kept)[:, :k]
        best = best[:, :k]
    found: NDArray[np.int64] = rows.cpu().numpy()
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


def _quickest(table: Tensor) -> TopBackend:
    if table.device.type == "cuda" and find_spec("triton") is not None:
        return "triton"
    on_cpu = table.device.type == "cpu" and table.dtype == torch.float32
    return "numba" if on_cpu and find_spec("numba") is not None else "torch"
