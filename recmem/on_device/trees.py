"""The sum of LightGBM's trees at each row, on a device. In torch, all trees are walked at once, level by level.

On a GPU with Triton, `trees_triton` walks. Both make the comparisons of `recmem.ranking.trees_numba` and, in each row,
the same additions in the same order, so the sums are the same to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int
from torch import Tensor

from feature_store.arrays import Float32Array, Float64Array, IntArray
from recmem.ranking.tree_arrays import TreeArrays

BLOCK_CELLS = 1 << 22
"""Pairs x trees that are walked at once: bounds the memory, some 100 bytes each."""
ZERO = 1e-35
"""LightGBM takes values up to this for 0."""
WORD_BITS = 32


Backend = Literal["auto", "triton", "torch"]


@dataclass(frozen=True, eq=False)
class PackedNodes:
    """What `trees_triton` reads of the nodes beside their float tables: int32, which takes half the room."""

    roots: Int[Tensor, " tree"]
    depths: Int[Tensor, " tree"]
    split: Int[Tensor, " node"]
    """The input that is read, doubled, plus 1 if missing values go left."""
    children: Int[Tensor, " child"]
    words_begin: Int[Tensor, " node"]
    n_words: Int[Tensor, " node"]


@dataclass(frozen=True, eq=False)
class DeviceTrees:
    """Splits and leaves of all trees as nodes: first the splits, then the leaves. A leaf is its own child."""

    roots: Int[Tensor, " tree"]
    depths: tuple[int, ...]
    """Splits from the root to the lowest leaf of each tree."""
    input: Int[Tensor, " node"]
    """What a split reads; 0 for a leaf."""
    threshold: Float32[Tensor, " node"]
    """Values up to this go left: the largest float32 that is not above LightGBM's float64, which decides alike."""
    missing_left: Bool[Tensor, " node"]
    children: Int[Tensor, " child"]
    """At 2 * node the right child, behind it the left one."""
    leaf_value: Float64[Tensor, " node"]
    words_begin: Int[Tensor, " node"] | None
    """Where the categories that go left begin in `words`, -1 for a split at a number; None without any categories."""
    n_words: Int[Tensor, " node"]
    words: Int[Tensor, " word"]

    @classmethod
    def of(cls, trees: TreeArrays, device: torch.device) -> DeviceTrees:
        """The trees on a device."""
        n_splits = len(trees.input)
        n_leaves = len(trees.leaf_values)
        leaves = np.arange(n_leaves) + n_splits

        def with_leaves(of_splits: IntArray, of_leaf: int) -> Tensor:
            return torch.from_numpy(np.concatenate([of_splits, np.full(n_leaves, of_leaf)])).to(device)

        right = np.concatenate([_nodes(trees.right, n_splits), leaves])
        left = np.concatenate([_nodes(trees.left, n_splits), leaves])
        threshold = np.concatenate([_not_above(trees.threshold), np.zeros(n_leaves, np.float32)])
        missing_left = np.concatenate([trees.missing_left, np.zeros(n_leaves, bool)])
        leaf_value = np.concatenate([np.zeros(n_splits), trees.leaf_values])
        has_categories = bool((trees.words_begin >= 0).any())
        return cls(
            roots=torch.from_numpy(_nodes(trees.roots, n_splits)).to(device),
            depths=tuple(_depths(trees).tolist()),
            input=with_leaves(trees.input, 0),
            threshold=torch.from_numpy(threshold).to(device),
            missing_left=torch.from_numpy(missing_left).to(device),
            children=torch.from_numpy(np.stack([right, left], axis=1).reshape(-1)).to(device),
            leaf_value=torch.from_numpy(leaf_value).to(device),
            words_begin=with_leaves(trees.words_begin, -1) if has_categories else None,
            n_words=with_leaves(trees.n_words, 0),
            words=torch.from_numpy(trees.words).to(device),
        )

    def sums(self, matrix: Float32[Tensor, "pair input"], *, backend: Backend = "auto") -> Float64[Tensor, " pair"]:
        """The sum of the trees at each row. "auto" takes Triton on a GPU where it is installed."""
        matrix = torch.where(matrix.abs() <= ZERO, 0, matrix)
        can_use_triton = matrix.device.type == "cuda" and find_spec("triton") is not None
        if backend == "triton" or (backend == "auto" and can_use_triton):
            from recmem.on_device.trees_triton import tree_sums_triton  # an extra, and slow to import

            return tree_sums_triton(self, matrix)
        return self._sums_torch(matrix)

    @cached_property
    def packed(self) -> PackedNodes:
        """The nodes for `trees_triton`."""
        no_words = torch.full_like(self.input, -1) if self.words_begin is None else self.words_begin
        return PackedNodes(
            roots=self.roots.int(),
            depths=torch.tensor(self.depths, dtype=torch.int32, device=self.roots.device),
            split=(2 * self.input + self.missing_left).int(),
            children=self.children.int(),
            words_begin=no_words.int(),
            n_words=self.n_words.int(),
        )

    def _sums_torch(self, matrix: Float32[Tensor, "pair input"]) -> Float64[Tensor, " pair"]:
        sums = torch.zeros(len(matrix), dtype=torch.float64, device=matrix.device)
        if not len(matrix):
            return sums
        n_trees = len(self.depths)
        n_rows = max(BLOCK_CELLS // max(n_trees, 1), 1)
        for begin in range(0, len(matrix), n_rows):
            rows = matrix[begin : begin + n_rows]
            total = sums[begin : begin + n_rows]
            # A block of rows may be too small for all trees where these are very many.
            n_at_once = max(BLOCK_CELLS // len(rows), 1)
            for first in range(0, n_trees, n_at_once):
                for values in self._leaf_values(rows, first, min(first + n_at_once, n_trees)):
                    total += values
        return sums

    def _leaf_values(self, rows: Float32[Tensor, "pair input"], first: int, end: int) -> Float64[Tensor, "tree pair"]:
        """What each of some trees says of each row."""
        n_rows, n_inputs = rows.shape
        flat = rows.reshape(-1)
        row_begin = torch.arange(n_rows, device=rows.device) * n_inputs
        node = self.roots[first:end, None].expand(-1, n_rows)
        for _ in range(max(self.depths[first:end], default=0)):
            value = flat[row_begin + self.input[node]]
            node = self.children[2 * node + self._goes_left(node, value).long()]
        return self.leaf_value[node]

    def _goes_left(
        self, node: Int[Tensor, "tree pair"], value: Float32[Tensor, "tree pair"]
    ) -> Bool[Tensor, "tree pair"]:
        goes_left = value <= self.threshold[node]
        if self.words_begin is not None:
            begin = self.words_begin[node]
            goes_left = torch.where(begin >= 0, self._is_in_set(node, value, begin), goes_left)
        return torch.where(value.isnan(), self.missing_left[node], goes_left)

    def _is_in_set(
        self, node: Int[Tensor, "tree pair"], value: Float32[Tensor, "tree pair"], begin: Int[Tensor, "tree pair"]
    ) -> Bool[Tensor, "tree pair"]:
        """Whether a value is one of the node's categories; of any other node, whatever it is."""
        is_category = (value > -1) & (value < self.n_words[node] * WORD_BITS)
        # Cut off towards zero, as LightGBM does.
        category = torch.where(is_category, value, 0).long()
        word = self.words[(begin + category // WORD_BITS).clamp(0, len(self.words) - 1)]
        return is_category & ((word >> (category % WORD_BITS)) & 1 == 1)


def _nodes(children: IntArray, n_splits: int) -> IntArray:
    """Nodes by their number: ~leaf comes after the splits."""
    return np.where(children >= 0, children, n_splits + ~children)


def _not_above(thresholds: Float64Array) -> Float32Array:
    """The largest float32 that is not above each threshold."""
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    below: Float32Array = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest.astype(np.float64) > thresholds, below, nearest)


def _depths(trees: TreeArrays) -> IntArray:
    """int64[tree]: splits from the root to the lowest leaf."""
    depths = np.zeros(len(trees.roots), np.int64)
    tree = np.flatnonzero(trees.roots >= 0)
    node = trees.roots[tree]
    while len(node):
        # The splits of one level of all trees.
        depths[np.unique(tree)] += 1
        children = np.concatenate([trees.left[node], trees.right[node]])
        is_split = children >= 0
        tree = np.concatenate([tree, tree])[is_split]
        node = children[is_split]
    return depths
