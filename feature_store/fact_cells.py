"""What the cells of the facts table hold: subjects, relations and objects, as text."""

from __future__ import annotations

from urllib.parse import unquote

import polars as pl

from feature_store.cell_parsing import parse_id
from feature_store.data_errors import ColumnProblem, bad_cells, refused_column
from feature_store.whole_numbers import whole_numbers

_TEXT = (pl.String, pl.Categorical, pl.Enum, pl.Null)
_IRI = r"^[A-Za-z][A-Za-z0-9+.-]*://"
_LAST_PART = r"[/#]([^/#]*)[/#]?$"


def parse_fact_cells(column: pl.Series) -> tuple[pl.Series, list[ColumnProblem]]:
    """Text without spaces around it, from text, numbers, booleans or dates; null for a cell without any.

    A whole number is written without a fraction, whatever its dtype: 7.0 is "7", as the id of an item is.
    """
    dtype = column.dtype
    if dtype in _TEXT:
        cells = column.cast(pl.String)
    elif dtype == pl.Boolean:
        cells = pl.select(pl.when(column).then(pl.lit("true")).when(~column).then(pl.lit("false"))).to_series()
    elif dtype.is_numeric():
        cells = whole_numbers(column).cast(pl.String).fill_null(column.cast(pl.String))
    elif isinstance(dtype, pl.Date | pl.Datetime):
        cells = column.cast(pl.String)
    else:
        nulls = pl.Series(column.name, [None] * len(column), dtype=pl.String)
        return nulls, [refused_column(column, expected="text", remedy="Give a row for each object, as text.")]
    stripped = cells.str.strip_chars()
    text = stripped.set((stripped == "").fill_null(value=False), None).alias(column.name)
    remedy = "Fill it in, or remove the row."
    return text, bad_cells(cells.alias(column.name), text, expected="text", got="empty text", remedy=remedy)


def namespace_of_iris(texts: pl.Series) -> pl.Series:
    """What stands before the last part of each IRI: String, null for texts that are none."""
    is_one = texts.str.contains(_IRI)
    return texts.str.replace(r"[^/#]*[/#]?$", "").set(~is_one, None)


def names_of_iris(texts: pl.Series) -> pl.Series:
    """The last part of each IRI, percent signs decoded: String, null for texts that are none."""
    last = texts.str.extract(_LAST_PART).set(~texts.str.contains(_IRI), None)
    if not last.str.contains("%", literal=True).any():
        return last
    return last.map_elements(unquote, return_dtype=pl.String, skip_nulls=True)


def are_about(subjects: pl.Series, item_id: object) -> pl.Series:
    """Which subjects are this item: its id as text, or an IRI whose last part is the id. bool[row]."""
    wanted = parse_id(item_id, pl.String())
    if wanted is None:
        return pl.Series([False] * len(subjects), dtype=pl.Boolean)
    is_named = (names_of_iris(subjects) == wanted).fill_null(value=False)
    return (subjects == wanted) | is_named
