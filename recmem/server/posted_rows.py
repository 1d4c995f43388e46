"""Rows of a table that were posted as JSON, as a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from feature_store import DataError

MOST_COLUMNS = 200
"""Names of columns in one request, at most: each row of the frame has a cell of each."""


def rows_frame(rows: Sequence[dict[str, Any]], table: str) -> pl.DataFrame:
    """The rows as a frame, null where a row lacks a column; whole numbers and fractions in one column are numbers.

    Raises DataError if there are too many columns, or one holds values of several types or objects.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    if len(names) > MOST_COLUMNS:
        remedy = "Send the columns of the table only, by the same names in all rows."
        raise DataError(f"{table}: expected at most {MOST_COLUMNS} columns, got {len(names):,}. {remedy}")
    return pl.DataFrame([_column(name, [row.get(name) for row in rows], table) for name in names])


def _column(name: str, cells: list[Any], table: str) -> pl.Series:
    try:
        column = pl.Series(name, _same_numbers(cells), strict=True)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        # ValueError: half of a surrogate pair, which JSON can spell and UTF-8 cannot.
        shown = name[:60].encode("ascii", "backslashreplace").decode()
        expected = f"{table}.{shown}: expected one type in a column, got several, or a cell that is none"
        raise DataError(f"{expected} ({type(error).__name__}). Give ids as text, and numbers of 64 bits.") from error
    if column.dtype.is_nested() or column.dtype in (pl.Object, pl.Int128):
        raise DataError(f"{table}.{name[:60]}: expected text, numbers or times, got {column.dtype}. Give plain values.")
    return column


def _same_numbers(cells: list[Any]) -> list[Any]:
    """JSON writes 4.0 as 4 in many languages: among fractions, whole numbers become such."""
    kinds = {type(cell) for cell in cells if cell is not None}
    return [None if cell is None else float(cell) for cell in cells] if kinds == {int, float} else cells
