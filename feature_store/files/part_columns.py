"""One table from several files: columns are matched by name, and their types made equal where nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from feature_store.cell_parsing import parse_ids
from feature_store.data_errors import DataError
from feature_store.schema import Table
from feature_store.timestamps import TIMESTAMP

_TEXT = (pl.String, pl.Categorical, pl.Enum)
_TIMES = (pl.Date, pl.Datetime)


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of one file."""

    name: str
    frame: pl.DataFrame


def as_one(parts: Sequence[Part], table: Table) -> tuple[pl.DataFrame, list[str]]:
    """The rows of all parts, and warnings about columns that some parts lack.

    Raises DataError that names the file and the column if a column has types that do not go together, or if a part
    lacks one that the table requires.
    """
    names = list(dict.fromkeys(name for part in parts for name in part.frame.columns))
    warnings: list[str] = []
    columns: dict[str, list[pl.Series]] = {}
    for name in names:
        _check_presence(name, parts, table, warnings)
        columns[name] = _alike(name, parts, table)
    return pl.DataFrame({name: pl.concat(series) for name, series in columns.items()}), warnings


def _check_presence(name: str, parts: Sequence[Part], table: Table, warnings: list[str]) -> None:
    without = [part.name for part in parts if name not in part.frame.columns]
    if not without:
        return
    if any(column.name == name and column.required for column in table.columns):
        remedy = "Write all files with the same columns."
        raise DataError(f"{table.name}.{name}: expected the column in every file, got none in {without[0]}. {remedy}")
    n_files = "1 file lacks" if len(without) == 1 else f"{len(without):,} files lack"
    warnings.append(f"{table.name}.{name}: {n_files} the column, such as {without[0]}; it is null there.")


def _alike(name: str, parts: Sequence[Part], table: Table) -> list[pl.Series]:
    """The column of every part, all of one type."""
    given = [
        part.frame[name]
        if name in part.frame.columns
        else pl.repeat(None, part.frame.height, dtype=pl.Null, eager=True)
        for part in parts
    ]
    given = [series.alias(name) for series in given]
    kinds = list(dict.fromkeys(series.dtype for series in given if series.dtype != pl.Null))
    if len(kinds) <= 1:
        target = kinds[0] if kinds else pl.Null()
        return [series.cast(target) for series in given]
    if all(kind in _TIMES for kind in kinds):
        return [_as_times(series) for series in given]
    if all(kind in _TEXT for kind in kinds):
        return [series.cast(pl.String) for series in given]
    if _is_id(name, table):
        ids = _as_ids(given)
        if ids is not None:
            return ids
    elif all(kind.is_numeric() or kind == pl.Boolean for kind in kinds):
        is_whole = all(kind.is_signed_integer() or kind == pl.Boolean for kind in kinds)
        return [series.cast(pl.Int64 if is_whole else pl.Float64) for series in given]
    raise _clash(name, parts, table)


def _is_id(name: str, table: Table) -> bool:
    return name.endswith("_id") or any(column.name == name and column.parse is None for column in table.columns)


def _as_ids(given: list[pl.Series]) -> list[pl.Series] | None:
    """Ids as whole numbers, or as text if a part has text; None if a cell would be lost."""
    has_text = any(series.dtype in _TEXT for series in given)
    ids = []
    for series in given:
        if series.dtype in _TEXT or series.dtype == pl.Null:
            ids.append(series.cast(pl.String if has_text else pl.Int64))
            continue
        whole, problems = parse_ids(series)
        if problems:
            return None
        ids.append(whole.cast(pl.String if has_text else pl.Int64))
    return ids


def _as_times(series: pl.Series) -> pl.Series:
    if series.dtype == pl.Null:
        return series.cast(TIMESTAMP)
    if series.dtype == pl.Date:
        return series.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    zone = series.dtype.time_zone if isinstance(series.dtype, pl.Datetime) else None
    in_utc = series.dt.replace_time_zone("UTC") if zone is None else series.dt.convert_time_zone("UTC")
    return in_utc.cast(TIMESTAMP)


def _clash(name: str, parts: Sequence[Part], table: Table) -> DataError:
    of_kind: dict[str, str] = {}
    for part in parts:
        if name in part.frame.columns and part.frame.schema[name] != pl.Null:
            of_kind.setdefault(str(part.frame.schema[name]), part.name)
    shown = ", ".join(f"{kind} in {file}" for kind, file in list(of_kind.items())[:3])
    remedy = "Write all files with the same types."
    return DataError(f"{table.name}.{name}: expected one type in all files, got {shown}. {remedy}")
