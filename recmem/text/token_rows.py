"""Token ids of many texts in one array: no list of integers for each text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from feature_store.arrays import IntArray

Int32Array = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class TokenRows:
    """Ragged rows of token ids, one row a text."""

    ids: Int32Array
    """int32[token]: those of the first row, then those of the second, and so on."""
    offsets: IntArray
    """int64[row + 1]: where each row begins in `ids`, and the end."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        """Tokens of each row: int64[row]."""
        return np.diff(self.offsets)

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> TokenRows:
        """The same rows as arrays."""
        offsets = offsets_of(np.fromiter(map(len, rows), np.int64, len(rows)))
        return cls(np.fromiter(chain.from_iterable(rows), np.int32, int(offsets[-1])), offsets)

    @classmethod
    def concatenated(cls, parts: Sequence[TokenRows]) -> TokenRows:
        """The rows of all parts, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        lengths = [part.lengths for part in parts]
        ids = np.concatenate([np.empty(0, np.int32), *(part.ids for part in parts)])
        return cls(ids, offsets_of(np.concatenate([np.empty(0, np.int64), *lengths])))

    def taken(self, rows: IntArray) -> TokenRows:
        """These rows, in this order; a row may be taken several times."""
        lengths = self.lengths[rows]
        return TokenRows(self.ids[ragged_places(self.offsets[rows], lengths)], offsets_of(lengths))

    def without_empty(self, token: int) -> TokenRows:
        """The rows, with this token in those that have none."""
        lengths = self.lengths
        is_empty = lengths == 0
        if not is_empty.any():
            return self
        return TokenRows(np.insert(self.ids, self.offsets[:-1][is_empty], token), offsets_of(lengths + is_empty))

    def to_lists(self) -> list[list[int]]:
        """The rows as lists of integers."""
        ids = self.ids.tolist()
        offsets = self.offsets.tolist()
        return [ids[begin:end] for begin, end in pairwise(offsets)]


def offsets_of(lengths: IntArray) -> IntArray:
    """Where rows of these lengths begin, and the end: int64[row + 1]."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def ragged_places(starts: IntArray, lengths: IntArray) -> IntArray:
    """`starts[0], starts[0] + 1, ...` for `lengths[0]` places, then those from `starts[1]`: int64[sum of lengths]."""
    offsets = offsets_of(lengths)
    places: IntArray = np.repeat(starts - offsets[:-1], lengths)
    places += np.arange(offsets[-1])
    return places
