"""Rows of a table that were posted as JSON, as a frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from feature_store import DataError

MAX_COLUMNS = 200
"""Names of columns in one request, at most: each row of the frame has a cell of each."""


def rows_frame(rows: Sequence[dict[str, Any]], table: str) -> pl.DataFrame:
    """The rows as a frame, null where a row lacks a column; whole numbers and fractions in one column are numbers.

    Raises DataError if there are too many columns, or one holds values of several types, lists or objects.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    if len(names) > MAX_COLUMNS:
        remedy = "Send the columns of the table only, by the same names in all rows."
        raise DataError(f"{table}: expected at most {MAX_COLUMNS} columns, got {len(names):,}. {remedy}")
    return pl.DataFrame([_column(name, [row.get(name) for row in rows], table) for name in names])


def _column(name: str, cells: list[Any], table: str) -> pl.Series:
    # By itself, for polars takes minutes over lists in lists.
    refuse_nested(cells, f"{table}.{_shown(name)}")
    try:
        column = pl.Series(name, _same_numbers(cells), strict=True)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        # ValueError: half of a surrogate pair, which JSON can spell and UTF-8 cannot.
        expected = f"{table}.{_shown(name)}: expected one type in a column, got several, or a cell that is none"
        raise DataError(f"{expected} ({type(error).__name__}). Give ids as text, and numbers of 64 bits.") from error
    if column.dtype == pl.Int128:
        raise DataError(f"{table}.{_shown(name)}: expected numbers of 64 bits, got a larger one. Give it as text.")
    return column


def refuse_nested(cells: Iterable[Any], where: str) -> None:
    """Raises DataError if a cell is a list or an object of JSON; `where` is the column."""
    for cell in cells:
        if isinstance(cell, list | dict):
            got = "a list" if isinstance(cell, list) else "an object"
            raise DataError(f"{where}: expected text, numbers or times, got {got}. Give plain values.")


def _shown(name: str) -> str:
    """The beginning of a name that a client made up."""
    return name[:60].encode("ascii", "backslashreplace").decode()


def _same_numbers(cells: list[Any]) -> list[Any]:
    """JSON writes 4.0 as 4 in many languages: among fractions, whole numbers become such."""
    kinds = {type(cell) for cell in cells if cell is not None}
    return [None if cell is None else float(cell) for cell in cells] if kinds == {int, float} else cells
