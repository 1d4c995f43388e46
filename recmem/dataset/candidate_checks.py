"""Checks on a candidate frame: are its columns there, of types that can be read, and named as nothing else is?"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from feature_store import DataError
from feature_store.data_errors import ColumnProblem, describe, refused_column
from feature_store.timestamps import TIMESTAMP, parse_timestamps
from feature_store.warnings.missing_columns import remedy_for_missing

TABLE = "candidates"
CANDIDATE_COLUMNS = ("user_id", "item_id", "timestamp", "impression_id", "history")
"""Columns of candidates that recmem gives a meaning to. Beside them only the items' text columns are read."""
_ID_TYPES = (pl.String, pl.Categorical, pl.Enum, pl.Null)


def check_candidates(frame: object, output_names: tuple[str, ...], found: Sequence[ColumnProblem] = ()) -> pl.Series:
    """The timestamp of each row, null where the row gives none.

    Raises DataError with all faults of the frame: not a polars frame, a missing column, a null id, an unreadable
    timestamp, a history that is not a list, a column named like one of `output_names`; and those that were `found`.
    """
    if not isinstance(frame, pl.DataFrame):
        kind = f"{type(frame).__module__.partition('.')[0]} {type(frame).__name__}"
        remedy = "Use pl.from_pandas(frame), pl.from_arrow(table) or lazy.collect()."
        raise DataError(describe([ColumnProblem("", "a polars DataFrame", kind, remedy)], table=TABLE))
    faults = [*_id_column_faults(frame), *taken_names(frame, output_names), *_optional_column_faults(frame)]
    timestamps = pl.Series("timestamp", [None], dtype=TIMESTAMP).new_from_index(0, frame.height)
    if "timestamp" in frame.columns:
        timestamps, timestamp_faults = parse_timestamps(frame["timestamp"])
        faults += timestamp_faults
    faults += found
    if faults:
        raise DataError(describe(faults, table=TABLE))
    return timestamps


def _id_column_faults(frame: pl.DataFrame) -> list[ColumnProblem]:
    faults: list[ColumnProblem] = []
    for name in ("user_id", "item_id"):
        if name not in frame.columns:
            got = f"none among {', '.join(frame.columns)}" if frame.columns else "none"
            faults.append(ColumnProblem(name, "the column", got, remedy_for_missing(name, frame.columns)))
            continue
        ids = frame[name]
        type_faults = _id_type_faults(ids)
        if type_faults:
            faults += type_faults
        elif ids.null_count():
            faults.append(ColumnProblem(name, "an id", "null", "Fill it in, or remove the row.", ids.is_null()))
    return faults


def taken_names(frame: pl.DataFrame, output_names: tuple[str, ...]) -> list[ColumnProblem]:
    """A problem for each column that is named like one of those that scoring adds."""
    remedy = "Rename or drop it: recmem adds a column of this name."
    return [
        ColumnProblem(name, "no column of this name", "one", remedy) for name in output_names if name in frame.columns
    ]


def _optional_column_faults(frame: pl.DataFrame) -> list[ColumnProblem]:
    faults: list[ColumnProblem] = []
    if "history" in frame.columns and not _is_history(frame["history"].dtype):
        faults.append(refused_column(frame["history"], expected="lists of item ids", remedy="Give pl.List(pl.String)."))
    if "impression_id" in frame.columns:
        faults += _id_type_faults(frame["impression_id"])
    return faults


def _id_type_faults(ids: pl.Series) -> list[ColumnProblem]:
    # A column without rows may have any type: many readers give empty columns a type of their own.
    if not len(ids) or _is_id(ids.dtype):
        return []
    return [refused_column(ids, expected="ids as text or integers", remedy="Cast the column to pl.String.")]


def _is_history(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.List | pl.Array):
        # Through a series, because `inner` may be a class as well as an instance.
        return _is_id(pl.Series([], dtype=dtype.inner).dtype)
    return dtype == pl.Null


def _is_id(dtype: pl.DataType) -> bool:
    return dtype in _ID_TYPES or dtype.is_numeric()
