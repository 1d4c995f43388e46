"""Rows of unequal length in two flat arrays: the form of histories, memories and candidate lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from feature_store.arrays import BoolArray, IntArray


@dataclass(frozen=True, eq=False)
class Ragged:
    """Row `r` is `values[offsets[r] : offsets[r + 1]]`. Both arrays are int64; rows may be empty.

    Arrays aligned with `values` (times, weights) share the offsets: `index_of(rows)` gives the positions to read.
    Raises ValueError unless the offsets begin with 0, never decrease, and end with `len(values)`.

    >>> ragged = Ragged.from_lists([[7, 8], [], [9]])
    >>> ragged.lengths.tolist(), ragged.row_index.tolist(), ragged.take([2, 0]).to_lists()
    ([2, 0, 1], [0, 0, 2], [[9], [7, 8]])
    """

    values: IntArray
    """All rows' values, one after the other."""
    offsets: IntArray
    """Where each row begins, then where the last one ends: int64[n_rows + 1]."""

    def __post_init__(self) -> None:
        _check_flat("values", self.values)
        _check_flat("offsets", self.offsets)
        offsets = self.offsets
        covers_values = len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == len(self.values)
        if not covers_values or bool((np.diff(offsets) < 0).any()):
            raise ValueError(
                f"offsets: expected non-decreasing numbers from 0 to {len(self.values)}, got {_excerpt(offsets)}. "
                "Build from lists with Ragged.from_lists, from lengths with Ragged.from_lengths."
            )

    @classmethod
    def from_lists(cls, rows: Iterable[Sequence[int] | IntArray]) -> Ragged:
        """One row per sequence, in order."""
        arrays = [np.asarray(row, dtype=np.int64) for row in rows]
        values = np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int64)
        return cls.from_lengths(values, np.array([len(array) for array in arrays], dtype=np.int64))

    @classmethod
    def from_lengths(cls, values: IntArray, lengths: IntArray) -> Ragged:
        """`values` cut into rows of the given lengths, which must sum to `len(values)`."""
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return cls(values, offsets)

    @classmethod
    def from_ranges(cls, begins: IntArray, ends: IntArray) -> Ragged:
        """Row `r` counts from `begins[r]` up to, not including, `ends[r]`."""
        lengths = ends - begins
        row_starts = np.cumsum(lengths) - lengths
        # Value n of row r is begins[r] + (n - row_starts[r]); the part that is the same for the whole row comes first.
        values = np.repeat(begins - row_starts, lengths)
        values += np.arange(len(values), dtype=np.int64)
        return cls.from_lengths(values, lengths)

    @classmethod
    def concat(cls, parts: Sequence[Ragged]) -> Ragged:
        """The rows of all parts, one part after the other; no part gives no row."""
        if not parts:
            return cls.from_lists([])
        values = np.concatenate([part.values for part in parts])
        lengths = np.concatenate([part.lengths for part in parts])
        return cls.from_lengths(values, lengths)

    @property
    def n_rows(self) -> int:
        """Number of rows, including empty ones."""
        return len(self.offsets) - 1

    def __len__(self) -> int:
        return self.n_rows

    @property
    def lengths(self) -> IntArray:
        """Number of values of each row: int64[n_rows]."""
        return np.diff(self.offsets)

    @property
    def row_index(self) -> IntArray:
        """The row that each value belongs to: int64[len(values)], ascending."""
        return np.repeat(np.arange(self.n_rows, dtype=np.int64), self.lengths)

    def row(self, row: int) -> IntArray:
        """The values of one row, as a view. Raises IndexError outside 0 .. n_rows - 1."""
        _check_rows(np.array([row]), self.n_rows)
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def index_of(self, rows: Sequence[int] | IntArray) -> IntArray:
        """Positions in `values` of the given rows' values, row after row: to read arrays aligned with `values`."""
        rows = np.asarray(rows, dtype=np.int64)
        _check_rows(rows, self.n_rows)
        return Ragged.from_ranges(self.offsets[rows], self.offsets[rows + 1]).values

    def take(self, rows: Sequence[int] | IntArray) -> Ragged:
        """The given rows in the given order; rows may repeat. Raises IndexError outside 0 .. n_rows - 1."""
        rows = np.asarray(rows, dtype=np.int64)
        return Ragged.from_lengths(self.values[self.index_of(rows)], self.lengths[rows])

    def newest(self, limit: int | None) -> Ragged:
        """Each row cut to its last `limit` values; None keeps all."""
        if limit is None:
            return self
        kept = self.newest_places(limit)
        return Ragged(self.values[kept.values], kept.offsets)

    def newest_places(self, limit: int) -> Ragged:
        """Positions in `values` of each row's last `limit` values: to read arrays aligned with `values`."""
        ends = self.offsets[1:]
        return Ragged.from_ranges(np.maximum(self.offsets[:-1], ends - limit), ends)

    def contains(self, values: IntArray) -> BoolArray:
        """Whether each of `values`, which ascend, is among each row's values: bool[row, value]."""
        contains = np.zeros((self.n_rows, len(values)), bool)
        if len(values):
            # Where each of this object's values would stand among `values`, and whether it does.
            place = np.minimum(np.searchsorted(values, self.values), len(values) - 1)
            is_there = values[place] == self.values
            contains[self.row_index[is_there], place[is_there]] = True
        return contains

    def to_lists(self) -> list[list[int]]:
        """The rows as Python lists; `Ragged.from_lists` gives an equal object back."""
        flat: list[int] = self.values.tolist()
        bounds: list[int] = self.offsets.tolist()
        return [flat[start:end] for start, end in pairwise(bounds)]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ragged):
            return NotImplemented
        return np.array_equal(self.values, other.values) and np.array_equal(self.offsets, other.offsets)

    # Arrays are mutable, so a hash could not stay equal between equal objects.
    __hash__ = None  # type: ignore[assignment]


def _check_flat(name: str, array: IntArray) -> None:
    if array.dtype != np.int64 or array.ndim != 1:
        raise ValueError(f"{name}: expected a flat int64 array, got {array.dtype}{list(array.shape)}. Convert it.")


def _check_rows(rows: IntArray, n_rows: int) -> None:
    outside = rows[(rows < 0) | (rows >= n_rows)]
    if len(outside):
        raise IndexError(f"rows: expected 0 .. {n_rows - 1}, got {_excerpt(outside)}. Map ids to rows first.")


def _excerpt(array: IntArray) -> str:
    return np.array2string(array, threshold=6, edgeitems=3)
