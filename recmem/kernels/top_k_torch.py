"""Exact top-k search by inner product in plain torch: the definition that the other backends are tested against."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

BLOCK_CELLS = 16_000_000
"""Products held at once."""
CUDA_BLOCK_CELLS = 250_000_000
"""The same on a GPU, a gigabyte: each block costs a dozen launches."""


def top_rows_torch(table: Float[Tensor, "item dim"], queries: Float[Tensor, "query dim"], k: int) -> NDArray[np.int64]:
    """See `recmem.kernels.top_k.top_rows`. The table is read block by block."""
    cells = CUDA_BLOCK_CELLS if table.is_cuda else BLOCK_CELLS
    block_rows = max(cells // max(len(queries), 1), k)
    values = torch.empty((len(queries), 0), device=queries.device)  # [query, found so far]
    rows = torch.empty((len(queries), 0), dtype=torch.int64, device=queries.device)
    for begin in range(0, len(table), block_rows):
        products = _products(queries, table[begin : begin + block_rows])  # [query, row of the block]
        block_values, block_places = largest(products, min(k, products.shape[1]))
        # Earlier rows come first, so that the stable sort keeps ties in the order of rows.
        values, order = torch.cat([values, block_values], dim=1).sort(dim=1, descending=True, stable=True)
        rows = torch.cat([rows, block_places + begin], dim=1).gather(1, order)[:, :k]
        values = values[:, :k]
    result: NDArray[np.int64] = rows.cpu().numpy()
    return result


def _products(queries: Float[Tensor, "query dim"], rows: Float[Tensor, "row dim"]) -> Float[Tensor, "query row"]:
    """The products in float32, of any type of inputs."""
    if rows.is_cuda and rows.dtype != torch.float32:
        # On the tensor cores, without a copy of the table in float32. torch offers it on CUDA alone.
        return torch.mm(queries, rows.T, out_dtype=torch.float32)
    return queries.float() @ rows.float().T


def largest(scores: Float[Tensor, "row place"], k: int) -> tuple[Float[Tensor, "row k"], Int[Tensor, "row k"]]:
    """The `k` largest scores of each row and their places, best first; ties in the order of their places."""
    # With one more than asked for, where there is one: if it equals the last, topk took any of the scores that tie for
    # the last place. Such rows are sorted in full.
    values, places = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    leaves_ties_out = (values[:, k:] == values[:, k - 1 : k]).any(1)
    places = places[:, :k]
    if bool(leaves_ties_out.any()):
        places[leaves_ties_out] = scores[leaves_ties_out].sort(dim=1, descending=True, stable=True).indices[:, :k]

    # By place, then stably by score.
    places = places.sort(dim=1).values
    values, order = scores.gather(1, places).sort(dim=1, descending=True, stable=True)
    return values, places.gather(1, order)
