"""Pairs of a query and an item as numbers, to find those of one list in another."""

from __future__ import annotations

from feature_store.arrays import IntArray
from feature_store.ragged import Ragged


def pair_keys(first: Ragged, second: Ragged) -> tuple[IntArray, IntArray]:
    """The number of each (row, value) of both: int64[value], int64[value]. The same pair has the same number in both.

    Rows are queries and values item rows, 0 or more. A row's numbers are above those of the rows before it.
    """
    n_values = int(max(first.values.max(initial=0), second.values.max(initial=0))) + 1
    return first.row_index * n_values + first.values, second.row_index * n_values + second.values
