"""Exact top-k search by inner product: the contract, and which backend computes it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from recmem.kernels.backends import check_installed, lacks_avx2
from recmem.kernels.top_k_torch import top_rows_torch

TopBackend = Literal["auto", "torch", "numba", "triton"]
FEW_QUERIES = 128
"""On CUDA, torch searches for up to this many queries, Triton for more.

Measured on an H100, 100 of 1 M x 384 in float16, matrix product and topk against Triton: .36 and 1.02 ms for 1 query,
.88 and 1.59 ms for 64, 8.6 and 4.45 ms for 1,024. Straight lines between the latter cross at 200. The products were
float16 there; here they are float32, of twice the bytes, so the limit is lower.
"""


def top_rows(
    table: Float[Tensor, "item dim"], queries: Float[Tensor, "query dim"], k: int, *, backend: TopBackend = "auto"
) -> NDArray[np.int64]:
    """Rows of the `k` largest products with each query, best first, ties in the order of rows: int64[query, k].

    `k` is at most the number of rows; both tensors are contiguous, of one type and on one device. "auto" takes Triton
    for 16-bit types on CUDA and more than `FEW_QUERIES`, numba for float16 on a CPU (x86-64: with AVX2), if these are
    installed, else torch. All sum in float32, and give the same rows where that is exact, as it is for vectors of
    `recmem.text.unit_vectors.exact_units`.

    Raises ValueError for an unknown backend, RuntimeError if a named one cannot run here.
    """
    if backend not in get_args(TopBackend):
        raise ValueError(
            f"backend: expected one of {', '.join(get_args(TopBackend))}, got {backend!r}. Use one of these."
        )
    chosen = _fastest(table, len(queries)) if backend == "auto" else backend
    if chosen == "torch":
        return top_rows_torch(table, queries, k)
    check_installed(chosen)
    # Optional packages, and slow to import.
    if chosen == "triton":
        from recmem.kernels.top_k_triton import top_rows_triton

        return top_rows_triton(table, queries, k)
    from recmem.kernels.top_k_numba import top_rows_numba

    if table.dtype != torch.float16:
        raise RuntimeError(
            "backend: expected an available backend, got 'numba', which needs float16, for a "
            f"{str(table.dtype).removeprefix('torch.')} table. Use 'auto'."
        )
    bits, query_bits = (tensor.detach().view(torch.int16).numpy() for tensor in (table, queries))
    return top_rows_numba(bits, query_bits, k, n_threads=torch.get_num_threads())


def _fastest(table: Tensor, n_queries: int) -> TopBackend:
    is_short = table.dtype != torch.float32
    if table.device.type == "cuda" and is_short and n_queries > FEW_QUERIES and find_spec("triton") is not None:
        return "triton"
    if table.device.type == "cpu" and table.dtype == torch.float16 and not lacks_avx2() and find_spec("numba"):
        return "numba"
    return "torch"
