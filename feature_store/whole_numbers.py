"""Numbers from columns of any numeric dtype: finite ones, and whole ones that are exact; null for the others."""

from __future__ import annotations

import polars as pl

_EXACT_UP_TO = {pl.Float64: 2.0**53}
"""Up to here the dtype represents every whole number exactly. The last one itself may be rounded already."""
_ROUNDED_FROM = {pl.Float16: 2.0**11, pl.Float32: 2.0**24}
"""From here on the short floats cannot tell a whole number from its neighbour."""


def finite_numbers(column: pl.Series) -> pl.Series:
    """The column as Float64; null where a cell is NaN, infinite or no number."""
    numbers = column.cast(pl.Float64, strict=False)
    return numbers.set(~numbers.is_finite().fill_null(value=True), None)


def whole_numbers(column: pl.Series) -> pl.Series:
    """The column as Int64; null where a cell is not a whole number, not exact in its dtype, or beyond 64 bits."""
    dtype = column.dtype
    if dtype.is_integer():
        return column.cast(pl.Int64, strict=False)
    if dtype.is_decimal():
        whole = column.cast(pl.Int64, strict=False)  # cuts fractions off
        return whole.set((whole != column).fill_null(value=True), None)
    numbers = column.cast(pl.Float64)
    exact = numbers.is_finite() & (numbers.floor() == numbers) & (numbers.abs() <= _EXACT_UP_TO[pl.Float64])
    exact &= ~is_rounded(column)
    return numbers.set(~exact.fill_null(value=False), None).cast(pl.Int64)


def is_rounded(column: pl.Series) -> pl.Series:
    """Which cells are 16-bit or 32-bit floats so large that whole numbers beside them became the same: bool[row]."""
    limit = next((limit for dtype, limit in _ROUNDED_FROM.items() if column.dtype == dtype), None)
    if limit is None:
        return pl.Series(column.name, [False]).new_from_index(0, len(column))
    numbers = column.cast(pl.Float64)
    return (numbers.is_finite() & (numbers.abs() >= limit)).fill_null(value=False)
