"""The splits of LightGBM's trees as arrays, read from its text format."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from feature_store.arrays import BoolArray, Float64Array, IntArray

_CATEGORICAL = 1
"""Bit of a decision: the split is of categories."""
_DEFAULT_LEFT = 2
_MISSING_SHIFT = 2
_MISSING_NAN = 2
"""The two bits above the shift: NaN has a side of its own. Else it counts as 0."""
_BLANK = "\n\n"


class TreeArrays(NamedTuple):
    """All trees' splits, one after the other. A child that is not negative is a split; ~child is a leaf."""

    n_inputs: int
    roots: IntArray
    """Each tree's first split, or ~leaf for a tree without any: int64[tree]."""
    input: IntArray
    """What a split reads: int64[split]."""
    threshold: Float64Array
    """Values up to this go left: float64[split]."""
    missing_left: BoolArray
    """Whether missing values do: bool[split]."""
    left: IntArray
    right: IntArray
    leaf_values: Float64Array
    """float64[leaf]"""
    words_begin: IntArray
    """Where the categories that go left stand in `words`, -1 for a split at a number: int64[split]."""
    n_words: IntArray
    words: IntArray
    """Bits of categories, 32 in a word: int64[word]."""


def tree_arrays(text: str) -> TreeArrays:
    """The arrays of a model that `check_trees` has passed."""
    header, _, rest = text.partition(_BLANK)
    n_inputs = int(_values(header)["max_feature_idx"]) + 1
    parts: list[TreeArrays] = []
    n_splits = 0
    n_leaves = 0
    n_words = 0
    for block in re.split(r"\n{2,}", rest):
        if not block.startswith("Tree="):
            break
        tree = _of_tree(_values(block), n_inputs, n_splits, n_leaves, n_words)
        n_splits += len(tree.input)
        n_leaves += len(tree.leaf_values)
        n_words += len(tree.words)
        parts.append(tree)
    arrays = (np.concatenate(arrays) for arrays in zip(*(part[1:] for part in parts), strict=True))
    return TreeArrays(n_inputs, *arrays)


def _of_tree(values: dict[str, str], n_inputs: int, n_splits: int, n_leaves: int, n_words: int) -> TreeArrays:
    """The arrays of one tree, which come after so many splits, leaves and words of earlier ones."""
    decisions = _integers(values["decision_type"])
    threshold = np.array(values["threshold"].split(), np.float64)
    is_categorical = (decisions & _CATEGORICAL) > 0
    has_missing = (decisions >> _MISSING_SHIFT) == _MISSING_NAN
    # Where NaN has no side of its own it counts as 0; as a category it goes right.
    missing_left = np.where(has_missing, (decisions & _DEFAULT_LEFT) > 0, threshold >= 0) & ~is_categorical
    boundaries = _integers(values.get("cat_boundaries", "0"))
    words_begin = np.full(len(decisions), -1)
    words_count = np.zeros(len(decisions), np.int64)
    # A split of categories has the number of its set in place of a threshold.
    sets = threshold[is_categorical].astype(np.int64)
    words_begin[is_categorical] = boundaries[sets] + n_words
    words_count[is_categorical] = boundaries[sets + 1] - boundaries[sets]
    return TreeArrays(
        n_inputs,
        roots=np.array([n_splits if len(decisions) else ~n_leaves]),
        input=_integers(values["split_feature"]),
        threshold=threshold,
        missing_left=missing_left,
        left=_children(values["left_child"], n_splits, n_leaves),
        right=_children(values["right_child"], n_splits, n_leaves),
        leaf_values=np.array(values["leaf_value"].split(), np.float64),
        words_begin=words_begin,
        n_words=words_count,
        words=_integers(values.get("cat_threshold", "")),
    )


def _children(line: str, n_splits: int, n_leaves: int) -> IntArray:
    children = _integers(line)
    return np.where(children >= 0, children + n_splits, children - n_leaves)


def _integers(line: str) -> IntArray:
    return np.array(line.split(), np.int64)


def _values(lines: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines.split("\n") if "=" in line)
