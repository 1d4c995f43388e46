"""Exact top-k search in Triton: products are reduced to the largest of each group before they leave the chip.

The table's rows stand in groups of `GROUP`. A first launch multiplies everything on the tensor cores and writes only
each group's largest product with each query. The `k` groups with the largest of these hold the `k` largest products:
every other group is beaten by the best rows of k groups, and ties go by place, as they do for rows. A second launch
multiplies the rows of these groups once more, and the best are taken from them. Exact, in two steps, after the idea of
Chern et al., "TPU-KNN" (2022), who stop after the first.

Pointers: `table` [row, dim] and `queries` [query, dim], of one type; `maxima` float32 [query, group]; `groups` int64
[query, chosen], ascending; `products` float32 [query, chosen * GROUP]. Products accumulate in float32.

Limits: CUDA or Triton's interpreter. A table of at most `k` groups goes through plain torch.

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
"""Rows of a group: smaller ones make the first step write more, larger ones make the second read more."""
BLOCK_QUERY = 128
"""Queries of a program of the first step."""
BLOCK_ROW = 256
"""Rows of a program of the first step."""
BLOCK_DIM = 64
"""Dimensions that a program takes at a time."""
FLOAT32_BLOCKS = (64, 64, 32)
"""The same three for float32, which takes twice the room and more registers."""
GROUPS_TOGETHER = 4
"""Groups of a program of the second step."""
CELLS = 250_000_000
"""Numbers that a launch writes: a gigabyte."""
LOWEST = tl.constexpr(-3.0e38)


def top_rows_triton(table: Tensor, queries: Tensor, k: int) -> NDArray[np.int64]:
    """See `recmem.kernels.top_k.top_rows`. Raises RuntimeError where there is neither CUDA nor the interpreter."""
    if table.device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise RuntimeError(
            "backend: expected an available backend, got 'triton', which needs CUDA, for a table on "
            f"{table.device.type}. Use 'auto'."
        )
    n_groups = triton.cdiv(len(table), GROUP)
    if n_groups <= k:  # every group would be chosen
        return top_rows_torch(table.float(), queries.float(), k)
    if not len(queries):
        return np.empty((0, k), np.int64)
    # Both launches write a row per query: maxima, then products.
    together = max(CELLS // max(n_groups, k * GROUP), 1)
    with torch.cuda.device_of(table):  # Triton launches on the current GPU, which may be another
        parts = [_top(table, some, n_groups, k) for some in queries.split(together)]
    return torch.cat(parts).cpu().numpy()


def _top(table: Tensor, queries: Tensor, n_groups: int, k: int) -> Tensor:
    """int64[query, k] of queries that are taken together."""
    n_rows, dim = table.shape
    n_queries = len(queries)
    # The interpreter gets products of short floats wrong, silently; float32 is not to be cut to tf32.
    upcast = os.environ.get("TRITON_INTERPRET") == "1" or table.dtype == torch.float32
    block_query, block_row, block_dim = FLOAT32_BLOCKS if upcast else (BLOCK_QUERY, BLOCK_ROW, BLOCK_DIM)

    # 1. The largest product of every group, and the k best groups in the order of rows.
    maxima = torch.empty((n_queries, n_groups), device=table.device)
    n_blocks = triton.cdiv(n_queries, block_query)
    _group_maxima[(n_blocks * triton.cdiv(n_rows, block_row),)](
        table, queries, maxima, n_rows, n_queries, n_groups, n_blocks, dim,
        GROUP=GROUP, BLOCK_QUERY=block_query, BLOCK_ROW=block_row, BLOCK_DIM=block_dim, UPCAST=upcast, num_warps=8,
    )  # fmt: skip
    groups = largest(maxima, k)[1].sort(dim=1).values
    del maxima  # a gigabyte, and the products take as much

    # 2. All products of these groups, and the k best of them.
    products = torch.empty((n_queries, k * GROUP), device=table.device)
    n_blocks = triton.cdiv(k, GROUPS_TOGETHER)
    _chosen_products[(n_queries * n_blocks,)](
        table, queries, groups, products, n_rows, k, n_blocks, dim,
        GROUP=GROUP, TOGETHER=GROUPS_TOGETHER, BLOCK_DIM=BLOCK_DIM,
    )  # fmt: skip
    places = largest(products, k)[1]
    return groups.gather(1, places // GROUP) * GROUP + places % GROUP


# Numbers of queries have no kernels of their own for multiples of 16: a process would compile each when it first comes.
@triton.jit(do_not_specialize=["n_queries", "n_blocks"])
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
    """maxima[query, group] = max over the group's rows of <queries[query], table[row]>.

    One program computes `BLOCK_QUERY` queries with `BLOCK_ROW` rows. Programs of all queries with the same rows stand
    next to each other, so that these rows come from the cache.
    """
    program = tl.program_id(0)
    query = ((program % n_blocks) * BLOCK_QUERY + tl.arange(0, BLOCK_QUERY)).to(tl.int64)
    block = (program // n_blocks).to(tl.int64)
    row = block * BLOCK_ROW + tl.arange(0, BLOCK_ROW)
    is_query = query < n_queries
    is_row = row < n_rows
    # [BLOCK_QUERY, BLOCK_ROW] = [BLOCK_QUERY, BLOCK_DIM] @ [BLOCK_DIM, BLOCK_ROW], summed over blocks of dimensions.
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
    # Rows after the table's last are masked before the maximum: all products of a group may be negative.
    products = tl.where(is_row[None, :], products, LOWEST)
    best = tl.max(tl.reshape(products, (BLOCK_QUERY, BLOCK_ROW // GROUP, GROUP)), 2)
    group = block * (BLOCK_ROW // GROUP) + tl.arange(0, BLOCK_ROW // GROUP)
    is_group = is_query[:, None] & (group < n_groups)[None, :]
    tl.store(maxima + query[:, None] * n_groups + group[None, :], best, mask=is_group)


@triton.jit(do_not_specialize=["n_chosen", "n_blocks"])
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
    """products[query, place] = <queries[query], table[row]> for the rows of the query's groups, in their order.

    One program computes `TOGETHER` groups of one query: too few products for the tensor cores, so it sums them itself.
    """
    query = (tl.program_id(0) // n_blocks).to(tl.int64)
    place = (tl.program_id(0) % n_blocks) * TOGETHER * GROUP + tl.arange(0, TOGETHER * GROUP)
    is_place = place < n_chosen * GROUP
    row = tl.load(groups + query * n_chosen + place // GROUP, mask=is_place, other=0) * GROUP + place % GROUP
    is_row = is_place & (row < n_rows)  # the last group may be short
    total = tl.zeros((TOGETHER * GROUP,), tl.float32)
    for first in range(0, dim, BLOCK_DIM):
        dims = first + tl.arange(0, BLOCK_DIM)
        inside = dims < dim
        vector = tl.load(queries + query * dim + dims, mask=inside, other=0.0).to(tl.float32)  # [BLOCK_DIM]
        block = tl.load(table + row[:, None] * dim + dims[None, :], mask=is_row[:, None] & inside[None, :], other=0.0)
        total += tl.sum(block.to(tl.float32) * vector[None, :], 1)
    tl.store(products + query * n_chosen * GROUP + place, tl.where(is_row, total, LOWEST), mask=is_place)
