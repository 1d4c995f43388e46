"""The largest products of queries with a whole table, in Triton: products are reduced before they leave the chip.

The table's rows stand in groups of `GROUP`. One launch multiplies everything on the tensor cores and writes no more
than each group's largest product with each query. The `k` groups with the largest of these hold the `k` largest
products, for each other group is beaten by k groups' best rows; equal ones go by their place, as rows do. A second
launch multiplies these groups' rows once more, and the best are taken from them. Exact, in two steps, after the idea
of Chern et al., "TPU-KNN" (2022), who stop after the first.

Pointers: `table` [row, dim] and `queries` [query, dim], of one type; `maxima` float32 [query, group]; `groups` int64
[query, chosen], ascending; `products` float32 [query, chosen * GROUP]. Products accumulate in float32.

Pointers have no Python type, so the kernels are left out of type checks.
"""

from __future__ import annotations

import os
from typing import no_type_check

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from recmem.kernels.top_k_torch import largest, top_rows_torch

GROUP = 32
"""Rows of a group: fewer make the first step write more, more make the second read more."""
BLOCK_QUERY, BLOCK_ROW, BLOCK_DIM = 128, 256, 64
"""Queries and rows of a program of the first step; dimensions that it takes at a time."""
FLOAT_BLOCKS = (64, 64, 32)
"""The same for float32, which takes twice the room and more registers."""
GROUPS_TOGETHER = 4
"""Groups of a program of the second step."""
CELLS = 250_000_000
"""Numbers that a launch writes: a gigabyte."""
LOWEST = tl.constexpr(-3.0e38)


def top_rows_triton(table: Tensor, queries: Tensor, k: int) -> NDArray[np.int64]:
    """See `recmem.kernels.top_k.top_rows`. Raises RuntimeError where there is neither CUDA nor the interpreter."""
    if table.device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        reason = f"triton: the table is on {table.device.type}, and Triton needs CUDA"
        raise RuntimeError(f"backend: expected one that can run here, got {reason}. Use 'auto'.")
    n_groups = triton.cdiv(len(table), GROUP)
    if n_groups <= k:  # every group would be chosen
        return top_rows_torch(table.float(), queries.float(), k)
    together = max(CELLS // max(n_groups, k * GROUP), 1)
    parts = [_top(table, part, n_groups, k) for part in queries.split(together)] if len(queries) else []
    return torch.cat(parts).cpu().numpy() if parts else np.empty((0, k), np.int64)


def _top(table: Tensor, queries: Tensor, n_groups: int, k: int) -> Tensor:
    maxima = torch.empty((len(queries), n_groups), device=table.device)
    # The interpreter gets products of short floats wrong, in silence; float32 is not to be cut to tf32.
    upcast = os.environ.get("TRITON_INTERPRET") == "1" or table.dtype == torch.float32
    block_query, block_row, block_dim = FLOAT_BLOCKS if upcast else (BLOCK_QUERY, BLOCK_ROW, BLOCK_DIM)
    dim, n_blocks = table.shape[1], triton.cdiv(len(queries), block_query)
    _group_maxima[(n_blocks * triton.cdiv(len(table), block_row),)](
        table, queries, maxima, len(table), len(queries), n_groups, n_blocks, dim,
        GROUP=GROUP, BLOCK_QUERY=block_query, BLOCK_ROW=block_row, BLOCK_DIM=block_dim, UPCAST=upcast, num_warps=8,
    )  # fmt: skip
    groups = largest(maxima, k)[1].sort(dim=1).values
    del maxima
    products = torch.empty((len(queries), k * GROUP), device=table.device)
    n_blocks = triton.cdiv(k, GROUPS_TOGETHER)
    _chosen_products[(len(queries) * n_blocks,)](
        table, queries, groups, products, len(table), k, n_blocks, dim,
        GROUP=GROUP, TOGETHER=GROUPS_TOGETHER, BLOCK_DIM=BLOCK_DIM,
    )  # fmt: skip
    places = largest(products, k)[1]
    return groups.gather(1, places // GROUP) * GROUP + places % GROUP


@triton.jit
@no_type_check
def _group_maxima(
    table,
    queries,
    maxima,
    n_rows,
    n_queries,
    n_groups,
    n_blocks,
    dim,
    GROUP: tl.constexpr,
    BLOCK_QUERY: tl.constexpr,
    BLOCK_ROW: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    UPCAST: tl.constexpr,
):
    """maxima[query, group] = the largest of queries[query] @ table[row] over the rows of the group.

    Programs of all queries with the same rows stand next to each other, so that these rows come from the cache.
    """
    program = tl.program_id(0)
    query = ((program % n_blocks) * BLOCK_QUERY + tl.arange(0, BLOCK_QUERY)).to(tl.int64)
    block = (program // n_blocks).to(tl.int64)
    row = block * BLOCK_ROW + tl.arange(0, BLOCK_ROW)
    is_query, is_row = query < n_queries, row < n_rows
    products = tl.zeros((BLOCK_QUERY, BLOCK_ROW), tl.float32)
    for first in range(0, dim, BLOCK_DIM):
        dims = first + tl.arange(0, BLOCK_DIM)
        inside = dims < dim
        a = tl.load(queries + query[:, None] * dim + dims[None, :], mask=is_query[:, None] & inside[None, :], other=0.0)
        b = tl.load(table + row[None, :] * dim + dims[:, None], mask=is_row[None, :] & inside[:, None], other=0.0)
        if UPCAST:
            products += tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="ieee")
        else:
            products += tl.dot(a, b)
    products = tl.where(is_row[None, :], products, LOWEST)
    best = tl.max(tl.reshape(products, (BLOCK_QUERY, BLOCK_ROW // GROUP, GROUP)), 2)
    group = block * (BLOCK_ROW // GROUP) + tl.arange(0, BLOCK_ROW // GROUP)
    kept = is_query[:, None] & (group < n_groups)[None, :]
    tl.store(maxima + query[:, None] * n_groups + group[None, :], best, mask=kept)


@triton.jit
@no_type_check
def _chosen_products(
    table,
    queries,
    groups,
    products,
    n_rows,
    n_chosen,
    n_blocks,
    dim,
    GROUP: tl.constexpr,
    TOGETHER: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    """products[query, place] = queries[query] @ table[row] for the rows of the query's groups, in their order."""
    query = (tl.program_id(0) // n_blocks).to(tl.int64)
    place = (tl.program_id(0) % n_blocks) * TOGETHER * GROUP + tl.arange(0, TOGETHER * GROUP)
    is_place = place < n_chosen * GROUP
    row = tl.load(groups + query * n_chosen + place // GROUP, mask=is_place, other=0) * GROUP + place % GROUP
    is_row = is_place & (row < n_rows)
    total = tl.zeros((TOGETHER * GROUP,), tl.float32)
    for first in range(0, dim, BLOCK_DIM):
        dims = first + tl.arange(0, BLOCK_DIM)
        inside = dims < dim
        one = tl.load(queries + query * dim + dims, mask=inside, other=0.0).to(tl.float32)
        many = tl.load(table + row[:, None] * dim + dims[None, :], mask=is_row[:, None] & inside[None, :], other=0.0)
        total += tl.sum(many.to(tl.float32) * one[None, :], 1)
    tl.store(products + query * n_chosen * GROUP + place, tl.where(is_row, total, LOWEST), mask=is_place)
