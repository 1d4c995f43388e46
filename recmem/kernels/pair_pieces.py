"""Memories with their candidates cut into pieces, one for each unit of work of a kernel, on the host."""

from __future__ import annotations

import numpy as np

from feature_store.arrays import IntArray


def pair_pieces(slots: IntArray, pairs: IntArray, most: IntArray) -> IntArray:
    """int64[piece, 4]: first slot, end of the slots, first pair, end of the pairs, in the order of the memories.

    `slots` and `pairs` are the offsets of `Memories` and `PairCandidates`; a piece of memory `m` has at most `most[m]`
    pairs. A memory without candidates has no piece.
    """
    n_pairs = np.diff(pairs)
    n_pieces = -(-n_pairs // most)
    memory = np.repeat(np.arange(len(n_pairs)), n_pieces)
    number = np.arange(len(memory)) - (np.cumsum(n_pieces) - n_pieces)[memory]  # of a piece in its memory, from 0
    first = pairs[memory] + number * most[memory]
    end = np.minimum(first + most[memory], pairs[memory + 1])
    return np.stack([slots[memory], slots[memory + 1], first, end], axis=1)
