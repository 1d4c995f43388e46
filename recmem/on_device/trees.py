"""The sum of LightGBM's trees at each row, on a device: by Triton on a GPU, else in torch.

Both make the comparisons of `recmem.ranking.trees_numba` and, in each row, the same additions in the same order, so the
sums are the same to the bit.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from recmem.on_device.tree_nodes import DeviceTrees
from recmem.on_device.trees_torch import tree_sums_torch

ZERO = 1e-35
"""LightGBM takes values up to this for 0."""


def tree_sums(
    trees: DeviceTrees,
    matrix: Float32[Tensor, "pair input"],
    *,
    backend: Literal["auto", "triton", "torch"] = "auto",
) -> Float64[Tensor, " pair"]:
    """The sum of the trees at each row. "auto" takes Triton on a GPU where it is installed."""
    matrix = torch.where(matrix.abs() <= ZERO, 0, matrix)
    can_use_triton = matrix.device.type == "cuda" and find_spec("triton") is not None
    if backend == "torch" or (backend == "auto" and not can_use_triton):
        return tree_sums_torch(trees, matrix)
    from recmem.on_device.trees_triton import tree_sums_triton  # an extra, and slow to import

    return tree_sums_triton(trees, matrix)
