"""The sum of LightGBM's trees at each row in plain torch: all trees are walked at once, level by level.

The definition of what `trees_triton` computes.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float32, Float64, Int
from torch import Tensor

from recmem.on_device.tree_nodes import WORD_BITS, DeviceTrees

BLOCK_CELLS = 1 << 22
"""Pairs x trees that are walked at once: bounds the memory, some 100 bytes each."""


def tree_sums_torch(trees: DeviceTrees, matrix: Float32[Tensor, "pair input"]) -> Float64[Tensor, " pair"]:
    """See `tree_sums`; values next to 0 are 0 already."""
    sums = torch.zeros(len(matrix), dtype=torch.float64, device=matrix.device)
    if not len(matrix):
        return sums
    n_trees = len(trees.depths)
    n_rows = max(BLOCK_CELLS // max(n_trees, 1), 1)
    for begin in range(0, len(matrix), n_rows):
        rows = matrix[begin : begin + n_rows]
        total = sums[begin : begin + n_rows]
        # A block of rows may be too small for all trees where these are very many.
        n_at_once = max(BLOCK_CELLS // len(rows), 1)
        for first in range(0, n_trees, n_at_once):
            for values in _leaf_values(trees, rows, first, min(first + n_at_once, n_trees)):
                total += values
    return sums


def _leaf_values(
    trees: DeviceTrees, rows: Float32[Tensor, "pair input"], first: int, end: int
) -> Float64[Tensor, "tree pair"]:
    """What each of some trees says of each row."""
    n_rows, n_inputs = rows.shape
    flat = rows.reshape(-1)
    row_begin = torch.arange(n_rows, device=rows.device) * n_inputs
    node = trees.roots[first:end, None].expand(-1, n_rows)
    for _ in range(max(trees.depths[first:end], default=0)):
        value = flat[row_begin + trees.input[node]]
        node = trees.children[2 * node + _goes_left(trees, node, value).long()]
    return trees.leaf_value[node]


def _goes_left(
    trees: DeviceTrees, node: Int[Tensor, "tree pair"], value: Float32[Tensor, "tree pair"]
) -> Bool[Tensor, "tree pair"]:
    goes_left = value <= trees.threshold[node]
    if trees.words_begin is not None:
        begin = trees.words_begin[node]
        goes_left = torch.where(begin >= 0, _is_in_set(trees, node, value, begin), goes_left)
    return torch.where(value.isnan(), trees.missing_left[node], goes_left)


def _is_in_set(
    trees: DeviceTrees,
    node: Int[Tensor, "tree pair"],
    value: Float32[Tensor, "tree pair"],
    begin: Int[Tensor, "tree pair"],
) -> Bool[Tensor, "tree pair"]:
    """Whether a value is one of the node's categories; of any other node, whatever it is."""
    is_category = (value > -1) & (value < trees.n_words[node] * WORD_BITS)
    # Cut off towards zero, as LightGBM does.
    category = torch.where(is_category, value, 0).long()
    word = trees.words[(begin + category // WORD_BITS).clamp(0, len(trees.words) - 1)]
    return is_category & ((word >> (category % WORD_BITS)) & 1 == 1)
