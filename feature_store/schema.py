"""The tables of the store: their columns, and the check that every frame passes at the door."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from feature_store.cell_parsing import (
    parse_attribute,
    parse_ids,
    parse_labels,
    parse_names,
    parse_numbers,
    parse_positions,
)
from feature_store.data_errors import DataError, Fault, describe
from feature_store.timestamps import TIMESTAMP, parse_timestamps

__all__ = [
    "EVENTS", "IMPRESSIONS", "ITEMS", "REJECTED", "TABLES", "TIMESTAMP",
    "Checked", "Column", "DataError", "Fault", "Table", "check_table", "describe",
]  # fmt: skip

_UNNAMEABLE = "`"
"""Not to be in a column's name: Delta's merge cannot quote it."""

Parser = Callable[[pl.Series], tuple[pl.Series, list[Fault]]]


@dataclass(frozen=True)
class Column:
    """One column with a meaning."""

    name: str
    dtype: pl.DataType
    """The stored dtype; of a native id what it is until a first append decides."""
    parse: Parser | None = None
    """Cells to stored dtype; None for a native id, which comes back as it came (String or Int64)."""
    required: bool = False
    """There in every frame, null in no row."""


@dataclass(frozen=True)
class Table:
    """What a table holds, and by what a row is known to be there already."""

    name: str
    columns: tuple[Column, ...]
    identity: tuple[str, ...]
    keeps_extra: bool = False
    """Whether columns of other names are stored too (else they are left out)."""

    def schema(self, ids: Mapping[str, pl.DataType] | None = None) -> dict[str, pl.DataType]:
        """Column to stored dtype, with the dtypes of native ids where they are decided."""
        return {column.name: (ids or {}).get(column.name, column.dtype) for column in self.columns}


def _id(name: str) -> Column:
    return Column(name, pl.String(), required=True)


def _time(name: str, *, required: bool) -> Column:
    return Column(name, TIMESTAMP, parse_timestamps, required)


ITEMS = Table(
    "items",
    (_id("item_id"),),
    identity=("item_id",),
    keeps_extra=True,
)
EVENTS = Table(
    "events",
    (
        _id("user_id"),
        _id("item_id"),
        _time("timestamp", required=True),
        Column("event", pl.String(), parse_names),
        Column("value", pl.Float64(), parse_numbers),
        Column("session_id", pl.String(), parse_names),
        _time("available_at", required=False),
        Column("event_id", pl.String(), parse_names),
        Column("cancels", pl.String(), parse_names),  # the event_id of an event that this row takes back
    ),
    identity=("user_id", "item_id", "timestamp", "event", "cancels"),  # or event_id, in the rows that have one
)
IMPRESSIONS = Table(
    "impressions",
    (
        _id("impression_id"),
        _id("user_id"),
        _time("timestamp", required=True),
        _id("item_id"),
        Column("label", pl.Int8(), parse_labels, required=True),
        Column("position", pl.Int32(), parse_positions),
    ),
    identity=("impression_id", "item_id"),
)
REJECTED = Table(
    "rejected",
    (
        Column("table", pl.String()),
        Column("reason", pl.String()),
        Column("row", pl.String()),
        Column("row_number", pl.Int64()),
        Column("content_hash", pl.String()),
    ),
    identity=("content_hash",),
)
TABLES = (ITEMS, EVENTS, IMPRESSIONS, REJECTED)


@dataclass(frozen=True, eq=False)
class Checked:
    """A frame after its check: the good rows in the store's dtypes, and what is wrong with the others."""

    table: Table
    frame: pl.DataFrame
    """As the caller gave it."""
    kept: pl.DataFrame
    """The rows without a fault, in their order: the table's columns, then extra ones where the table keeps those."""
    faults: tuple[Fault, ...]
    """What is wrong in which rows; one row may be in several."""

    def reasons(self) -> pl.DataFrame:
        """One row for each bad row: `row_number` (from 0) and `reason`, all of its faults joined by "; "."""
        words = [pl.when(fault.rows).then(pl.lit(fault.reason)) for fault in self.faults if fault.rows is not None]
        if not words:
            return pl.DataFrame(schema={"row_number": pl.Int64, "reason": pl.String})
        return (
            pl.select(pl.int_range(self.frame.height, dtype=pl.Int64).alias("row_number"))
            .with_columns(pl.concat_str(words, separator="; ", ignore_nulls=True).alias("reason"))
            .filter(pl.col("reason") != "")
        )

    def without_faults(self) -> pl.DataFrame:
        """`kept`, where that is every row; else raises DataError with all the faults."""
        if self.faults:
            raise DataError(describe(self.faults, table=self.table.name))
        return self.kept


def check_table(frame: pl.DataFrame, table: Table, *, stored: Mapping[str, pl.DataType] | None = None) -> Checked:
    """The frame's good rows in the store's dtypes, and its bad rows with their reasons.

    `stored` names the dtypes that are decided already: of ids, and of the columns of items.

    Raises:
        DataError: for what concerns the table as a whole, with all such faults and those of rows: a required column is
            missing, a column's dtype cannot be read, items have no text, there is no row, it is no polars DataFrame.
    """
    _require_polars(frame, table)
    stored = stored or {}
    faults = _shape_faults(frame, table)
    columns: dict[str, pl.Series] = {}
    for column in table.columns:
        columns[column.name], found = _read_column(frame, column, stored.get(column.name))
        faults += found
    if table.keeps_extra:
        extra, found = _read_extra(frame, table, stored)
        columns |= extra
        faults += found + _text_faults(columns, table)
    if table is EVENTS:
        faults += _cancels_faults(columns)
    if any(fault.rows is None for fault in faults):
        raise DataError(describe(faults, table=table.name))
    return Checked(table, frame, _good_rows(pl.DataFrame(columns), faults), tuple(faults))


def _require_polars(frame: object, table: Table) -> None:
    if not isinstance(frame, pl.DataFrame):
        kind = f"{type(frame).__module__.partition('.')[0]} {type(frame).__name__}"
        remedy = "Use pl.from_pandas(frame), pl.from_arrow(table) or lazy.collect()."
        raise DataError(describe([Fault("", "a polars DataFrame", kind, remedy)], table=table.name))


def _good_rows(rows: pl.DataFrame, faults: list[Fault]) -> pl.DataFrame:
    masks = [fault.rows for fault in faults if fault.rows is not None]
    if not masks:
        return rows
    return rows.filter(~pl.select(pl.any_horizontal(masks)).to_series())


def _shape_faults(frame: pl.DataFrame, table: Table) -> list[Fault]:
    there = f"only {', '.join(frame.columns)}" if frame.columns else "no columns"
    faults = [
        Fault(column.name, "the column", there, "Add it, or rename the column that holds it.")
        for column in table.columns
        if column.required and column.name not in frame.columns
    ]
    if frame.is_empty():
        faults.append(Fault("", "at least one row", "0 rows", "Check the file or the query that it comes from."))
    return faults


def _read_column(frame: pl.DataFrame, column: Column, stored: pl.DataType | None) -> tuple[pl.Series, list[Fault]]:
    if column.name not in frame.columns:
        return pl.Series(column.name, [None] * frame.height, dtype=stored or column.dtype), []
    cells = frame[column.name]
    values, faults = parse_ids(cells, stored) if column.parse is None else column.parse(cells)
    if column.required and cells.null_count() and not any(fault.rows is None for fault in faults):
        what = "a label" if column.name == "label" else "a time" if column.dtype == TIMESTAMP else "an id"
        faults = [Fault(column.name, what, "null", "Fill it in, or leave the row out.", cells.is_null()), *faults]
    return values.cast(column.dtype) if column.parse is not None else values, faults


def _read_extra(
    frame: pl.DataFrame, table: Table, stored: Mapping[str, pl.DataType]
) -> tuple[dict[str, pl.Series], list[Fault]]:
    columns: dict[str, pl.Series] = {}
    faults: list[Fault] = []
    names_seen = {column.name for column in table.columns}
    for name in frame.columns:
        if name in names_seen:
            continue
        if (
            not name
            or _UNNAMEABLE in name
            or not name.isprintable()
            or name.lower() in {seen.lower() for seen in names_seen}
        ):
            remedy = f"Rename it: printable, without {_UNNAMEABLE}, not empty, and not as another but for capitals."
            faults.append(Fault(name, "another name", repr(name), remedy))
            continue
        names_seen.add(name)
        values, found = _read_attribute(frame[name], stored.get(name))
        columns |= {} if values is None else {name: values}
        faults += found
    return columns, faults


def _read_attribute(cells: pl.Series, stored: pl.DataType | None) -> tuple[pl.Series | None, list[Fault]]:
    if cells.name == "available_from":
        return parse_timestamps(cells)
    return parse_attribute(cells, stored)


def _cancels_faults(columns: Mapping[str, pl.Series]) -> list[Fault]:
    itself = (columns["cancels"] == columns["event_id"]).fill_null(value=False)
    if not itself.any():
        return []
    remedy = "Give a cancellation an id of its own, or none."
    return [Fault("cancels", "the event_id of another row", "the row's own", remedy, itself)]


def _text_faults(columns: Mapping[str, pl.Series], table: Table) -> list[Fault]:
    names = {column.name for column in table.columns}
    if any(values.dtype == pl.String for name, values in columns.items() if name not in names):
        return []
    remedy = "Add a text column such as title or description: the text is what recmem reads."
    return [Fault("", "at least one text column", f"only {', '.join(columns)}", remedy)]
