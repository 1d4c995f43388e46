"""What identifies a row in its table, as text: to see whether a row that was rejected has been stored since."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from feature_store.data_errors import ColumnProblem
from feature_store.schema import Table
from feature_store.table_checks import Checked
from feature_store.timestamps import TIMESTAMP

_BY_ID = ("event_id",)
_PLACE = "place"


def keys_of_invalid(checked: Checked) -> pl.Series:
    """The key of each invalid row, in their order: String, null where a cell of it could not be read.

    It is a JSON object of the row's `event_id` or, without one, of the columns of the table's identity; times are
    microseconds since 1970.
    """
    rows = checked.invalid
    numbers = checked.reasons()["row_number"]
    bad = {name: mask.gather(numbers) for name, mask in _bad_cells(checked).items()}
    return pl.Series("key", list(_keys(rows, checked.table, bad)), dtype=pl.String)


def are_among(keys: pl.Series, rows: pl.LazyFrame) -> pl.Series:
    """Which keys are those of some of the rows, which are of the keys' table: bool[key].

    Ids are compared as text. Delta skips files that hold none of these ids of events, or nothing of their time.
    """
    found: set[int] = set()
    schema = rows.collect_schema()
    for names, group in _by_columns(keys):
        if not set(names) <= set(schema.names()):
            continue
        wanted = group.with_columns(_as_stored(group[name], schema[name]) for name in names)
        found |= set(_matches(wanted, rows, list(names)))
    return pl.Series([place in found for place in range(len(keys))], dtype=pl.Boolean)


def _bad_cells(checked: Checked) -> Mapping[str, pl.Series]:
    """For each column with problems, which rows have one."""
    masks: dict[str, pl.Series] = {}
    for problem in checked.problems:
        if problem.rows is not None:
            masks[problem.column] = _either(masks.get(problem.column), problem)
    return masks


def _either(mask: pl.Series | None, problem: ColumnProblem) -> pl.Series:
    rows = pl.Series([], dtype=pl.Boolean) if problem.rows is None else problem.rows
    return rows if mask is None else mask | rows


def _keys(rows: pl.DataFrame, table: Table, bad: Mapping[str, pl.Series]) -> Iterator[str | None]:
    names = list(dict.fromkeys([*(_BY_ID if "event_id" in table.schema() else ()), *table.identity]))
    plain = rows.select(_plain(rows[name]) for name in names)
    for place, cells in enumerate(plain.iter_rows(named=True)):
        is_by_id = cells.get("event_id") is not None and not _is_bad(bad, "event_id", place)
        key = {name: cells[name] for name in (_BY_ID if is_by_id else table.identity)}
        yield None if any(_is_bad(bad, name, place) for name in key) else json.dumps(key, ensure_ascii=False)


def _is_bad(bad: Mapping[str, pl.Series], name: str, place: int) -> bool:
    return name in bad and bool(bad[name][place])


def _plain(cells: pl.Series) -> pl.Series:
    return cells.dt.epoch("us") if cells.dtype == TIMESTAMP else cells


def _by_columns(keys: pl.Series) -> Iterator[tuple[tuple[str, ...], pl.DataFrame]]:
    """The keys as frames of their cells, with their places among all: a frame for each set of columns."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for place, key in enumerate(keys):
        if key is not None:
            cells = json.loads(key)
            groups.setdefault(tuple(cells), []).append({**cells, _PLACE: place})
    for names, cells in groups.items():
        yield names, pl.DataFrame(cells, infer_schema_length=None)


def _as_stored(cells: pl.Series, dtype: pl.DataType) -> pl.Series:
    return cells.cast(pl.Int64).cast(TIMESTAMP) if dtype == TIMESTAMP else cells.cast(dtype, strict=False)


def _matches(wanted: pl.DataFrame, rows: pl.LazyFrame, names: list[str]) -> list[int]:
    """The places of the wanted cells that some row has in the columns of these names."""
    for name in ("event_id", "timestamp"):
        if name in names and wanted[name].null_count() == 0:
            low = pl.lit(wanted[name].min())
            high = pl.lit(wanted[name].max())
            rows = rows.filter(pl.col(name).is_between(low, high))
            break
    stored = rows.select(names).unique().collect()
    return wanted.join(stored, on=names, how="semi", nulls_equal=True)[_PLACE].to_list()
