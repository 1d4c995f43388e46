"""The caller's frames: polars, pandas or Arrow in, the same kind out, its own columns untouched.

pandas and pyarrow are recognised without being imported: a caller who has such a frame has imported its library.
"""

from __future__ import annotations

import string
import sys
from collections.abc import Collection, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_store import DataError
from feature_store.cell_parsing import parse_ids
from feature_store.data_errors import is_library_failure, repeated

_BLANK = string.whitespace + "\u00a0\ufeff"
"""White space around a name, and what a file's first bytes may leave there."""
_DECIMAL128_DIGITS = 38
FrameT = TypeVar("FrameT")
"""A polars or pandas DataFrame, or a pyarrow Table or RecordBatch; anything else is refused."""
Ids = Sequence[object] | pl.Series | NDArray[Any]
"""Ids as a list, a polars or pandas Series, a numpy array or an Arrow array."""


def to_polars(frame: object, name: str, *, wanted: Collection[str] | None = None) -> pl.DataFrame:
    """The frame as a polars frame with the same rows in the same order.

    `name` is what errors call the frame. `wanted` limits what is converted to the columns of these names: others may
    hold what polars cannot. Raises DataError for anything that is no frame, a column name that comes twice, a wanted
    name with white space around it, and a column of several types.
    """
    is_polars = isinstance(frame, pl.DataFrame)
    if not (is_polars or _is_pandas(frame) or _is_arrow(frame)):
        library = type(frame).__module__.partition(".")[0]
        kind = type(frame).__name__
        got = kind if library == "builtins" else f"{library} {kind}"
        remedy = "Collect it first: frame.collect()." if isinstance(frame, pl.LazyFrame) else "Convert it to one."
        raise DataError(f"{name}: expected a polars, pandas or Arrow frame, got {got}. {remedy}")
    given: Any = frame
    names = column_names(given)
    _check_names(names, name, wanted or ())
    if is_polars:
        return cast(pl.DataFrame, given)
    kept = [place for place, column in enumerate(names) if wanted is None or column in wanted]
    return _from_pandas(given, kept, name) if _is_pandas(given) else _from_arrow(_table(given).select(kept), name)


def column_names(frame: object) -> list[str]:
    """The names of the columns of a polars, pandas or Arrow frame, as text."""
    given: Any = frame
    return [str(column) for column in (given.schema.names if _is_arrow(given) else given.columns)]


def _check_names(names: list[str], name: str, wanted: Collection[str]) -> None:
    twice = repeated(names)
    if twice:
        raise DataError(f"{name}: expected every column once, got {', '.join(twice)} twice. Rename or drop one.")
    for column in names:
        bare = column.strip(_BLANK)
        # It would pass through unread, and its rows be scored without it.
        if bare != column and bare in wanted and bare not in names:
            raise DataError(f"{name}.{bare}: expected the column {bare!r}, got {column!r}. Rename it.")


def with_added(frame: FrameT, added: pl.DataFrame) -> FrameT:
    """The caller's frame with these columns of numbers or text after its own; a pandas frame keeps its index."""
    given: Any = frame  # no common type: the libraries share no frame protocol that adds columns
    if isinstance(given, pl.DataFrame):
        return cast(FrameT, given.with_columns(added.get_columns()))
    if _is_pandas(given):
        import pandas as pd

        columns = pd.DataFrame({column.name: column.to_numpy() for column in added}, index=given.index)
        return cast(FrameT, pd.concat([given, columns], axis=1))
    import pyarrow as pa

    texts = {column.name: pa.string() for column in added if column.dtype == pl.String}
    arrays = {
        # NaN stands for null.
        column.name: pa.array(column.to_numpy(), texts.get(column.name), from_pandas=True)
        for column in added
    }
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
    column = _column(ids, name)
    column = column.fill_nan(None) if column.dtype.is_float() else column
    if column.null_count():
        raise DataError(f"{name}: expected ids, got {column.null_count()} nulls. Remove them.")
    refused = [problem for problem in parse_ids(column)[1] if problem.rows is None]
    if refused and len(column):
        raise DataError(f"{name}: expected {refused[0].expected}, got {refused[0].got}. Give ids as text or integers.")
    return column.alias("user_id").cast(pl.String) if column.dtype == pl.Null else column.alias("user_id")


def _column(ids: Ids, name: str) -> pl.Series:
    try:
        return _series(ids)
    except OverflowError as error:
        raise DataError(f"{name}: expected ids of 64 bits at most, got a larger number. Give ids as text.") from error
    except UnicodeEncodeError as error:
        raise DataError(f"{name}: expected ids in UTF-8, got half of a surrogate pair. Correct it.") from error
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{name}: expected ids of one type, got several. Give them all as text.") from error


def _series(ids: Any) -> pl.Series:
    if isinstance(ids, pl.Series):
        return ids
    if isinstance(ids, np.ndarray) and ids.dtype != object:
        return pl.Series(ids)
    if _is_of("pandas", ids, "Series", "Index"):
        import pyarrow as pa

        try:
            return cast(pl.Series, pl.from_arrow(readable(pa.Array.from_pandas(ids))))
        except pa.ArrowException as error:
            raise TypeError(str(error)) from error
    if _is_of("pyarrow", ids, "Array", "ChunkedArray"):
        return cast(pl.Series, pl.from_arrow(readable(ids)))
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
        table = pa.Table.from_pandas(plain, preserve_index=False)
    except OverflowError as error:
        raise DataError(f"{name}: expected whole numbers of 64 bits, got a larger one. Give it as text.") from error
    except (pa.ArrowException, TypeError) as error:
        cause = ", ".join(str(part) for part in error.args)
        remedy = "Make it one type, as text with astype(str)."
        raise DataError(f"{name}: expected one type in a column, got several ({cause}). {remedy}") from error
    return _from_arrow(table, name)


def _table(frame: Any) -> Any:
    import pyarrow as pa

    return frame if isinstance(frame, pa.Table) else pa.Table.from_batches([frame])


def _from_arrow(table: Any, name: str) -> pl.DataFrame:
    columns = {}
    for column in table.schema.names:
        try:
            columns[column] = pl.Series(column, pl.from_arrow(readable(table.column(column))))
        except BaseException as error:
            if not (is_library_failure(error) or isinstance(error, TypeError | ValueError)):
                raise
            got = f"a column of {table.schema.field(column).type}"
            raise DataError(
                f"{name}.{column}: expected a column that polars can read, got {got}. Cast it to text or numbers."
            ) from error
    return pl.DataFrame(columns)


def readable(column: Any) -> Any:
    """An Arrow column with equal values that polars can read: zones become UTC, wide decimals narrow ones or text."""
    import pyarrow as pa

    dtype = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_timestamp(dtype) and dtype.tz is not None:
        return column.cast(dtype).cast(pa.timestamp(dtype.unit, "UTC"))
    if pa.types.is_decimal256(dtype):
        try:
            return column.cast(dtype).cast(pa.decimal128(_DECIMAL128_DIGITS, dtype.scale))
        except pa.ArrowInvalid:  # more digits than that
            return column.cast(dtype).cast(pa.string())
    return column
