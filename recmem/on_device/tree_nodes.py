"""LightGBM's trees on a device: splits and leaves as one table of nodes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int
from torch import Tensor

from feature_store.arrays import Float32Array, Float64Array, IntArray
from recmem.ranking.tree_arrays import TreeArrays

WORD_BITS = 32
"""Categories in a word of `DeviceTrees.words`."""


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
