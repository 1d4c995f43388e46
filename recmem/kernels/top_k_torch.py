"""Exact top-k search by inner product in plain torch: the definition that the other backends are tested against."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

BLOCK_CELLS = 16_000_000
"""Products held at once."""


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
