"""Checks a table of vectors, one per item, and brings them to unit length: all faults are reported at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_store.arrays import BoolArray, Float32Array, IntArray
from feature_store.cell_parsing import parse_ids
from feature_store.data_errors import ColumnProblem, DataError, describe, refused_column
from feature_store.warnings.missing_columns import remedy_for_missing

TABLE = "item_vectors"
COLUMNS = ("item_id", "vector")
UNIT_TOLERANCE = 1e-3
"""A vector whose length is this close to 1 stays as it is. What float16 can hold of a unit vector is no farther from
it, so vectors that an encoder has made stay exactly its own."""

OTHER_SPACE = "Vectors of two models cannot be mixed: give those of one, or another --vectors-name."
"""What to do with vectors that are not of the named space."""

_SLICE_ROWS = 65_536
"""Vectors that are brought to unit length at a time."""
_REMEDY = "Correct or remove the row."


@dataclass(frozen=True, eq=False)
class VectorRows:
    """The vectors of a table, each item once."""

    ids: pl.Series
    """String or Int64"""
    units: Float32Array
    """float32[row, dim]: of unit length, rounded to what float16 can hold, as an encoder's vectors are stored."""
    n_repeated: int
    """Rows that repeat another row of the table."""


@dataclass(frozen=True, eq=False)
class _Lists:
    """The rows whose vectors can be compared."""

    rows: IntArray
    """int64[vector]: the row of each in the table."""
    units: Float32Array
    """float32[vector, dim]"""


def check_vectors(
    frame: pl.DataFrame, *, ids: pl.DataType | None = None, dim: int | None = None, like: str = ""
) -> VectorRows:
    """The vectors of a frame with the columns `item_id` and `vector`: lists of numbers, of fixed size or not.

    `ids`: String or Int64, as other tables have the items' ids; by default as they come. `dim`: how many numbers a
    vector must have, and `like` what has so many; by default as many as most rows have. Equal rows count once; equal
    are vectors of the same direction, up to float16's precision.

    Raises DataError with all faults, each with the number of its rows and an example: a missing column, no rows, ids
    that are none, vectors of several lengths, with nulls, NaN or infinity, of zeros alone, and different vectors of one
    item.
    """
    problems = _missing(frame)
    if problems:
        raise DataError(describe(problems, table=TABLE))
    item_ids, problems = parse_ids(frame["item_id"], ids)
    if frame["item_id"].null_count() and not any(problem.rows is None for problem in problems):
        remedy = "Fill it in, or remove the row."
        problems.append(ColumnProblem("item_id", "an id", "null", remedy, frame["item_id"].is_null()))
    lists, found = _lists(frame["vector"], dim, like)
    problems += found
    is_repeated = np.zeros(0, bool)
    if lists is not None:
        is_repeated, found = _repeated(item_ids, lists)
        problems += found
    if problems or lists is None:
        raise DataError(describe(problems, table=TABLE))
    return VectorRows(
        item_ids.filter(pl.Series(~is_repeated)).alias("item_id"), lists.units[~is_repeated], int(is_repeated.sum())
    )


def _missing(frame: pl.DataFrame) -> list[ColumnProblem]:
    got = f"only {', '.join(frame.columns)}" if frame.columns else "no columns"
    problems = [
        ColumnProblem(name, "the column", got, remedy_for_missing(name, frame.columns))
        for name in COLUMNS
        if name not in frame.columns
    ]
    if frame.is_empty():
        problems.append(ColumnProblem("", "at least one row", "0 rows", "Check the file or query that it comes from."))
    return problems


def _lists(cells: pl.Series, dim: int | None, like: str) -> tuple[_Lists | None, list[ColumnProblem]]:
    """The vectors that can be compared, and what is wrong with the others; None if the column has no vectors."""
    dtype = cells.dtype
    if not isinstance(dtype, pl.List | pl.Array) or not pl.Series([], dtype=dtype.inner).dtype.is_numeric():
        remedy = "Give a list of floats per row, as Parquet and Arrow files hold them."
        return None, [refused_column(cells, expected="lists of numbers", remedy=remedy)]
    lists = cells.arr.to_list() if isinstance(dtype, pl.Array) else cells
    lengths = lists.list.len()
    problems = []
    if cells.null_count():
        problems.append(_problem("a vector", "null", cells.is_null()))
    if dim is None:
        given = lengths.filter(lengths > 0)
        dim = 0 if given.is_empty() else int(given.mode().max())  # type: ignore[arg-type]  # an integer
        like = "most rows have"
    is_of_length = (lengths == dim).fill_null(value=False) & (lengths > 0).fill_null(value=False)
    is_other = ~is_of_length & cells.is_not_null()
    if is_other.any():
        first = int(lengths.filter(is_other)[0])
        expected = f"{dim:,} numbers, as {like}" if dim else "at least one number"
        remedy = _REMEDY if is_of_length.any() or not dim else OTHER_SPACE
        problems.append(_problem(expected, f"another count, such as {first:,}", is_other, remedy))
    rows = is_of_length.arg_true().to_numpy().astype(np.int64)
    units = np.empty((len(rows), dim), np.float32)
    is_finite = np.zeros(len(rows), bool)
    is_zero = np.zeros(len(rows), bool)
    for some in _slices(len(rows)):
        numbers = _matrix(lists.gather(rows[some]), dim)
        is_finite[some] = np.isfinite(numbers).all(axis=1)
        is_zero[some] = ~numbers.any(axis=1)
        units[some] = _as_units(numbers, is_finite[some] & ~is_zero[some])
    for expected, got, is_bad in (
        ("finite numbers", "null, NaN or infinity", ~is_finite),
        ("a vector other than zero", "zeros alone", is_zero),
    ):
        if is_bad.any():
            problems.append(_problem(expected, got, _mask(rows[is_bad], len(cells))))
    is_usable = is_finite & ~is_zero
    return _Lists(rows[is_usable], units[is_usable]), problems


def _slices(n_rows: int) -> Iterator[slice]:
    yield from (slice(begin, begin + _SLICE_ROWS) for begin in range(0, n_rows, _SLICE_ROWS))


def _matrix(lists: pl.Series, dim: int) -> NDArray[np.floating]:
    """The numbers of lists of one length: float32[row, dim], or float64 of other types; null becomes NaN."""
    flat = lists.explode(empty_as_null=False, keep_nulls=False)
    plain = flat.cast(pl.Float32 if flat.dtype in (pl.Float16, pl.Float32) else pl.Float64)
    numbers: NDArray[np.floating] = plain.fill_null(np.nan).to_numpy().reshape(-1, dim)
    return numbers


def _as_units(numbers: NDArray[np.floating], is_usable: BoolArray) -> Float32Array:
    """The vectors at unit length, rounded to float16's precision: float32[row, dim]; others as zeros."""
    usable = np.where(is_usable[:, None], numbers, 0).astype(np.float64)
    # Divided by the largest number first: its square may be more than float64 holds, or nothing.
    largest = np.abs(usable).max(axis=1, keepdims=True, initial=0)
    scaled = np.divide(usable, largest, out=np.zeros_like(usable), where=largest > 0)
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)  # of the scaled vectors: 1 or more
    with np.errstate(over="ignore"):
        is_unit = np.abs(lengths * largest - 1) <= UNIT_TOLERANCE
    units = np.where(is_unit, usable, np.divide(scaled, lengths, out=scaled, where=lengths > 0))
    return units.astype(np.float16).astype(np.float32)


def _repeated(item_ids: pl.Series, lists: _Lists) -> tuple[BoolArray, list[ColumnProblem]]:
    """bool[vector]: an earlier row has the same id and vector; and what is wrong where it has another vector."""
    ids = item_ids.gather(lists.rows)
    row = pl.Series("row", range(len(ids)), dtype=pl.Int64)
    firsts = pl.DataFrame({"id": ids, "row": row}).select(
        pl.col("row"), first=pl.col("row").first().over("id"), has_id=pl.col("id").is_not_null()
    )
    later = firsts.filter((pl.col("row") != pl.col("first")) & pl.col("has_id"))
    later_rows = later["row"].to_numpy()
    differs = (lists.units[later_rows] != lists.units[later["first"].to_numpy()]).any(axis=1)
    is_repeated = np.zeros(len(ids), bool)
    is_repeated[later_rows] = True
    if not differs.any():
        return is_repeated, []
    conflicting = later_rows[differs]
    got = f"another one than in an earlier row, such as for {ids[int(conflicting[0])]!r}"
    remedy = "Keep the vector of one model, and one row per item."
    mask = _mask(lists.rows[conflicting], len(item_ids))
    return is_repeated, [ColumnProblem("vector", "one vector per item", got, remedy, mask)]


def _problem(expected: str, got: str, rows: pl.Series, remedy: str = _REMEDY) -> ColumnProblem:
    return ColumnProblem("vector", expected, got, remedy, rows)


def _mask(rows: IntArray, n_rows: int) -> pl.Series:
    mask = np.zeros(n_rows, bool)
    mask[rows] = True
    return pl.Series(mask)
