"""The sum of LightGBM's trees at each row as one Triton kernel: what `trees_torch` computes, to the bit.

    sum[r] = sum_t leaf_value[leaf of tree t that row r comes to]

One program takes `BLOCK_ROWS` rows through one tree after the other. A row is at a node, and goes down one level at a
time, the lanes of a program side by side: it loads what the node reads and how it splits, the row's value, and the next
node. A leaf is its own child, so that all rows go as many levels down as the deepest leaf lies. Splits and rows stay in
the caches, and nothing is written but the sums: in torch, each step of all trees and rows goes through memory.

Pointers: `matrix` float32 [row, input]; `roots` and `depths` int32 [tree]; `split` int32 [node], the input that is
read, doubled, plus 1 if missing values go left; `threshold` float32 [node]; `children` int32 [node, 2], right and left;
`leaf_value` float64 [node]; `words_begin` and `n_words` int32 [node]; `words` int64 [word]; `sums` float64 [row]. Sums
are float64, in the order of the trees.

Pointers have no Python type, so the kernel is left out of type checks.
"""

from __future__ import annotations

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float32, Float64
from torch import Tensor

from recmem.on_device.tree_nodes import WORD_BITS, DeviceTrees

BLOCK_ROWS = 128
"""Rows of a program, one for each thread; not measured."""
WARPS = 4
"""Of a program."""
BITS = tl.constexpr(WORD_BITS)


def tree_sums_triton(trees: DeviceTrees, matrix: Float32[Tensor, "pair input"]) -> Float64[Tensor, " pair"]:
    """See `tree_sums`; values next to 0 are 0 already."""
    sums = torch.empty(len(matrix), dtype=torch.float64, device=matrix.device)
    if not len(matrix):
        return sums
    packed = trees.packed
    with torch.cuda.device_of(matrix):  # Triton launches on the current GPU, which may be another
        _walk[(triton.cdiv(len(matrix), BLOCK_ROWS),)](
            matrix.contiguous(),
            packed.roots,
            packed.depths,
            packed.split,
            trees.threshold,
            packed.children,
            trees.leaf_value,
            packed.words_begin,
            packed.n_words,
            trees.words,
            sums,
            len(matrix),
            matrix.shape[1],
            len(trees.depths),
            HAS_CATEGORIES=trees.words_begin is not None,
            BLOCK=BLOCK_ROWS,
            num_warps=WARPS,
        )
    return sums


# Numbers have no kernels of their own for 1 and for multiples of 16: a process would compile each when it first comes.
@triton.jit(do_not_specialize=["n_rows", "n_inputs", "n_trees"])
@no_type_check
def _walk(
    matrix,
    roots,
    depths,
    split,
    threshold,
    children,
    leaf_value,
    words_begin,
    n_words,
    words,
    sums,
    n_rows,
    n_inputs,
    n_trees,
    HAS_CATEGORIES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The sums of `BLOCK` rows. See the module."""
    row = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    is_row = row < n_rows
    values = matrix + row * n_inputs
    total = tl.zeros((BLOCK,), tl.float64)
    for tree in range(n_trees):
        node = tl.zeros((BLOCK,), tl.int32) + tl.load(roots + tree)
        for _ in range(tl.load(depths + tree)):
            how = tl.load(split + node)
            value = tl.load(values + (how >> 1), mask=is_row, other=0.0)
            goes_left = value <= tl.load(threshold + node)
            if HAS_CATEGORIES:
                begin = tl.load(words_begin + node)
                is_category = (begin >= 0) & (value > -1) & (value < tl.load(n_words + node) * BITS)
                # Cut off towards zero, as LightGBM does.
                category = tl.where(is_category, value, 0.0).to(tl.int32)
                word = tl.load(words + begin + category // BITS, mask=is_category, other=0)
                is_in_set = is_category & (((word >> (category % BITS)) & 1) == 1)
                goes_left = tl.where(begin >= 0, is_in_set, goes_left)
            goes_left = tl.where(value != value, (how & 1) == 1, goes_left)
            node = tl.load(children + 2 * node + goes_left.to(tl.int32))
        total += tl.load(leaf_value + node)
    tl.store(sums + row, total, mask=is_row)
