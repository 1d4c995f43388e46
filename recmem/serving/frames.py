"""The caller's frames: polars, pandas or Arrow in, the same kind out, its own columns untouched.

pandas and pyarrow are recognised without being imported: a caller who has such a frame has imported its library.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_store import DataError

FrameT = TypeVar("FrameT")
"""A polars or pandas DataFrame, or a pyarrow Table or RecordBatch; anything else is refused."""
Ids = Sequence[object] | pl.Series | NDArray[Any]
"""Ids as a list, a polars or pandas Series, a numpy array or an Arrow array."""


def to_polars(frame: object, name: str, *, wanted: Collection[str] | None = None) -> pl.DataFrame:
    """The frame as a polars frame with the same rows in the same order.

    `name` is what errors call the frame. `wanted` limits what is converted to the columns of these names: others may
    hold what polars cannot. Raises DataError for anything that is no frame, a column name that comes twice and a
    column of several types.
    """
    if isinstance(frame, pl.DataFrame):
        return frame
    if not (_is_pandas(frame) or _is_arrow(frame)):
        library = type(frame).__module__.partition(".")[0]
        got = f"{library} {type(frame).__name__}"
        remedy = "Collect it first: frame.collect()." if isinstance(frame, pl.LazyFrame) else "Convert it to one."
        raise DataError(f"{name}: expected a polars, pandas or Arrow frame, got {got}. {remedy}")
    given: Any = frame
    names = [str(column) for column in (given.columns if _is_pandas(given) else given.schema.names)]
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice:
        raise DataError(f"{name}: expected every column once, got {', '.join(twice)} twice. Rename or drop one.")
    kept = [place for place, column in enumerate(names) if wanted is None or column in wanted]
    return _from_pandas(given, kept, name) if _is_pandas(given) else _from_arrow(given, kept)


def with_added(frame: FrameT, added: pl.DataFrame) -> FrameT:
    """The caller's frame with these numeric columns after its own; a pandas frame keeps its index."""
    given: Any = frame  # no common type: the libraries share no frame protocol that adds columns
    if isinstance(given, pl.DataFrame):
        return cast(FrameT, given.with_columns(added.get_columns()))
    if _is_pandas(given):
        import pandas as pd

        columns = pd.DataFrame({column.name: column.to_numpy() for column in added}, index=given.index)
        return cast(FrameT, pd.concat([given, columns], axis=1))
    import pyarrow as pa

    arrays = {column.name: pa.array(column.to_numpy()) for column in added}
    for name, array in arrays.items():
        given = given.append_column(name, array)
    return cast(FrameT, given)


def to_ids(ids: Ids, name: str) -> pl.Series:
    """The ids as a polars Series called `user_id`; DataError for a text, a null, or ids of several types."""
    given: Any = ids  # the checks are for callers without a type checker
    if isinstance(given, str | bytes):
        raise DataError(f"{name}: expected a list of ids, got the text {ids!r}. Put it in a list.")
    if isinstance(given, pl.DataFrame | pl.LazyFrame) or _is_pandas(ids) or _is_arrow(ids):
        raise DataError(f"{name}: expected a list of ids, got a frame. Pass its column, such as frame['user_id'].")
    if isinstance(given, np.ndarray) and given.ndim != 1:
        raise DataError(f"{name}: expected a list of ids, got an array of {given.ndim} dimensions. Flatten it.")
    if not hasattr(given, "__iter__"):
        raise DataError(f"{name}: expected a list of ids, got {ids!r}. Put it in a list.")
    try:
        column = _series(ids)
    except TypeError as error:
        raise DataError(f"{name}: expected ids of one type, got several. Give them all as text.") from error
    if column.null_count():
        raise DataError(f"{name}: expected ids, got {column.null_count()} nulls. Remove them.")
    return column.alias("user_id").cast(pl.String) if column.dtype == pl.Null else column.alias("user_id")


def _series(ids: Any) -> pl.Series:
    if isinstance(ids, pl.Series):
        return ids
    if isinstance(ids, np.ndarray) and ids.dtype != object:
        return pl.Series(ids)
    if _is_of("pandas", ids, "Series", "Index"):
        import pyarrow as pa

        try:
            return cast(pl.Series, pl.from_arrow(pa.Array.from_pandas(ids)))
        except pa.ArrowException as error:
            raise TypeError(str(error)) from error
    if _is_of("pyarrow", ids, "Array", "ChunkedArray"):
        return cast(pl.Series, pl.from_arrow(ids))
    return pl.Series(list(ids))


def _is_pandas(frame: object) -> bool:
    return _is_of("pandas", frame, "DataFrame")


def _is_arrow(frame: object) -> bool:
    return _is_of("pyarrow", frame, "Table", "RecordBatch")


def _is_of(library: str, value: object, *types: str) -> bool:
    """Whether the value is of one of these types; False if the library was never imported, for then it cannot be."""
    module = sys.modules.get(library)
    return module is not None and isinstance(value, tuple(getattr(module, name) for name in types))


def _from_pandas(frame: Any, places: list[int], name: str) -> pl.DataFrame:
    import pyarrow as pa

    chosen = frame.iloc[:, places]
    # Times without their zone, in UTC: how recmem reads them, and Arrow warns about zones under pandas 3.
    zoned = chosen.select_dtypes("datetimetz").columns
    plain = chosen.copy(deep=False)
    for column in zoned:
        plain[column] = chosen[column].dt.tz_convert(None)
    try:
        return pl.DataFrame(pa.Table.from_pandas(plain, preserve_index=False))
    except OverflowError as error:
        raise DataError(f"{name}: expected whole numbers of 64 bits, got a larger one. Give it as text.") from error
    except (pa.ArrowException, TypeError) as error:
        cause = ", ".join(str(part) for part in error.args)
        remedy = "Make it one type, as text with astype(str)."
        raise DataError(f"{name}: expected one type in a column, got several ({cause}). {remedy}") from error


def _from_arrow(frame: Any, places: list[int]) -> pl.DataFrame:
    import pyarrow as pa

    table = frame if isinstance(frame, pa.Table) else pa.Table.from_batches([frame])
    return cast(pl.DataFrame, pl.from_arrow(table.select(places)))
