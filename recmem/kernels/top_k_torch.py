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
    """See `recmem.kernels.top_k.top_rows`. The table is read block by block."""
    queries = queries.float()
    block_rows = max(BLOCK_CELLS // max(len(queries), 1), k)
    values = queries.new_full((len(queries), 0), 0.0)  # [query, found so far]
    rows = torch.empty((len(queries), 0), dtype=torch.int64, device=queries.device)
    for begin in range(0, len(table), block_rows):
        products = queries @ table[begin : begin + block_rows].float().T  # [query, row of the block]
        block_values, block_places = largest(products, min(k, products.shape[1]))
        # Earlier rows come first, so that the stable sort keeps ties in the order of rows.
        values, order = torch.cat([values, block_values], dim=1).sort(dim=1, descending=True, stable=True)
        rows = torch.cat([rows, block_places + begin], dim=1).gather(1, order)[:, :k]
        values = values[:, :k]
    result: NDArray[np.int64] = rows.cpu().numpy()
    return result


def largest(scores: Float[Tensor, "row place"], k: int) -> tuple[Float[Tensor, "row k"], Int[Tensor, "row k"]]:
    """The `k` largest scores of each row and their places, best first; ties in the order of their places."""
    values, places = scores.topk(k, dim=1)

    # topk takes any of the scores that tie for the last place. Rows where it left some out are sorted in full.
    border = values[:, -1:]
    leaves_ties_out = (scores == border).sum(1) > (values == border).sum(1)
    if bool(leaves_ties_out.any()):
        places[leaves_ties_out] = scores[leaves_ties_out].sort(dim=1, descending=True, stable=True).indices[:, :k]

    # By place, then stably by score.
    places = places.sort(dim=1).values
    values, order = scores.gather(1, places).sort(dim=1, descending=True, stable=True)
    return values, places.gather(1, order)
