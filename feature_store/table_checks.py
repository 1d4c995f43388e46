"""The validation of every appended frame: its valid rows in the store's dtypes, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, field, replace

import polars as pl

from feature_store.cell_parsing import parse_attribute, parse_ids
from feature_store.data_errors import ColumnProblem, DataError, describe
from feature_store.fact_cells import parse_fact_cells
from feature_store.schema import DATED_ITEMS, EVENTS, IMPRESSIONS, ITEMS, Column, Table, are_dated_items
from feature_store.signals import SignalConfig
from feature_store.timestamps import TIMESTAMP, parse_timestamps
from feature_store.warnings.event_kinds import unnamed_warnings
from feature_store.warnings.markup import markup_warnings
from feature_store.warnings.missing_columns import remedy_for_missing
from feature_store.warnings.rating_scale import rating_warnings
from feature_store.warnings.time_warnings import arrival_warnings, time_warnings
from feature_store.warnings.unread_columns import unread_columns

_FORBIDDEN_IN_NAMES = "`"
"""Delta's merge cannot quote a column name that contains it."""
_MAX_NAMES_SHOWN = 20


@dataclass(frozen=True, eq=False)
class Checked:
    """A validated frame: the valid rows in the store's dtypes, and what is wrong with the others."""

    table: Table
    frame: pl.DataFrame
    """As the caller passed it."""
    kept: pl.DataFrame
    """The valid rows in their order: the table's columns, then additional ones if the table keeps those."""
    problems: tuple[ColumnProblem, ...]
    """What is wrong in which rows; a row may have several problems."""
    warnings: tuple[str, ...] = ()
    """What is accepted but looks wrong, such as times far from the rest; a sentence or two each, with an example."""
    invalid: pl.DataFrame = field(default_factory=pl.DataFrame)
    """The invalid rows in their order, as far as they could be read: as `kept`, null in bad cells."""
    numbers: tuple[str, ...] = ()
    """The columns that came as numbers and are text in `kept`, because the store holds them as text."""

    def reasons(self) -> pl.DataFrame:
        """One row per invalid row: `row_number` (from 0) and `reason`, which joins all its problems with "; "."""
        words = [
            pl.when(problem.rows).then(pl.lit(problem.reason)) for problem in self.problems if problem.rows is not None
        ]
        if not words:
            return pl.DataFrame(schema={"row_number": pl.Int64, "reason": pl.String})
        return (
            pl.select(pl.int_range(self.frame.height, dtype=pl.Int64).alias("row_number"))
            .with_columns(pl.concat_str(words, separator="; ", ignore_nulls=True).alias("reason"))
            .filter(pl.col("reason") != "")
        )


def check_table(
    frame: pl.DataFrame,
    table: Table,
    *,
    stored: Mapping[str, pl.DataType] | None = None,
    signals: SignalConfig | None = None,
    dated: Collection[str] = (),
) -> Checked:
    """The frame's valid rows in the store's dtypes, and its invalid rows with their reasons.

    `stored` gives the dtypes that are already decided: those of ids, and of the columns of items and users. `signals`
    says how events will be judged, for warnings; by default as a training does. Items with a `timestamp` are
    `DATED_ITEMS`; `dated` are the columns of items that are stored with times, which later rows need too.

    Raises:
        DataError: the table as a whole is invalid. It is no polars DataFrame or has no rows, a required column is
            missing, a column's dtype cannot be read, or items have no text. The error lists these problems and
            those of rows, all at once.
    """
    _require_polars(frame, table)
    stored = stored or {}
    if table == ITEMS and "timestamp" in frame.columns:
        table = replace(DATED_ITEMS, needs_text=table.needs_text)
    columns, problems = _read_columns(frame, table, stored, dated)
    if any(problem.rows is None for problem in problems):
        raise DataError(describe(problems, table=table.name))
    rows = pl.DataFrame(columns)
    is_bad = _bad_rows(problems)
    kept = rows if is_bad is None else rows.filter(~is_bad)
    invalid = rows.clear() if is_bad is None else rows.filter(is_bad)
    warnings = _warnings(frame, columns, kept, table, signals)
    numbers = tuple(
        name
        for name, dtype in kept.schema.items()
        if dtype == pl.String and name not in table.schema() and _holds_numbers(frame[name])
    )
    return Checked(table, frame, kept, tuple(problems), tuple(warnings), invalid, numbers)


def _read_columns(
    frame: pl.DataFrame, table: Table, stored: Mapping[str, pl.DataType], dated: Collection[str]
) -> tuple[dict[str, pl.Series], list[ColumnProblem]]:
    """All columns that the store keeps of the frame, and what is wrong with the frame and its cells."""
    problems = _shape_problems(frame, table)
    columns: dict[str, pl.Series] = {}
    for column in table.columns:
        columns[column.name], found = _read_column(frame, column, stored.get(column.name))
        problems += found
    if table.keeps_extra:
        extra, found = _read_extra(frame, table, stored)
        columns |= extra
        problems += found + _text_problems(columns, table, stored)
    if table == ITEMS and not are_dated_items(table):
        problems += _undated_problems(frame, dated)
    if table.keeps_features:
        features, found = _read_features(frame, table, stored)
        columns |= features
        problems += found
    if "cancels" in table.schema():
        problems += _cancels_problems(columns)
    return columns, problems


def _warnings(
    frame: pl.DataFrame,
    columns: Mapping[str, pl.Series],
    kept: pl.DataFrame,
    table: Table,
    signals: SignalConfig | None,
) -> list[str]:
    """What is accepted but looks wrong."""
    warnings = _time_warnings(frame, columns, table)
    if not table.keeps_extra:
        warnings += unread_columns(frame.columns, list(columns), table.name)
    if table == ITEMS:
        warnings += markup_warnings(kept)
    if table is EVENTS:
        warnings += rating_warnings(kept, signals or SignalConfig())
        # A training decides by the whole log, and reports that, see `training.intake`.
        if signals is None or signals.unnamed != "auto":
            warnings += unnamed_warnings(kept, signals or SignalConfig())
    return warnings


def _holds_numbers(cells: pl.Series) -> bool:
    return cells.dtype.is_numeric() and cells.count() > 0


def _time_warnings(frame: pl.DataFrame, columns: Mapping[str, pl.Series], table: Table) -> list[str]:
    warnings = []
    for name in ("timestamp", "available_at", "available_from"):
        times = columns.get(name)
        if name in frame.columns and times is not None and times.dtype == TIMESTAMP:
            # Of items and users it may be known beforehand when something will hold.
            is_log = table in (EVENTS, IMPRESSIONS)
            warnings += time_warnings(frame[name], times, is_past=is_log, is_log=is_log)
    if {"timestamp", "available_at"} <= columns.keys() and "available_at" in frame.columns:
        warnings += arrival_warnings(columns["timestamp"], columns["available_at"])
    return warnings


def _require_polars(frame: object, table: Table) -> None:
    if not isinstance(frame, pl.DataFrame):
        kind = f"{type(frame).__module__.partition('.')[0]} {type(frame).__name__}"
        remedy = "Use pl.from_pandas(frame), pl.from_arrow(table) or lazy.collect()."
        raise DataError(describe([ColumnProblem("", "a polars DataFrame", kind, remedy)], table=table.name))


def _bad_rows(problems: list[ColumnProblem]) -> pl.Series | None:
    """Boolean mask of the rows with a problem; None if there is none."""
    masks = [problem.rows for problem in problems if problem.rows is not None]
    return pl.select(pl.any_horizontal(masks)).to_series() if masks else None


def _shape_problems(frame: pl.DataFrame, table: Table) -> list[ColumnProblem]:
    got = f"only {_some(frame.columns)}" if frame.columns else "no columns"
    problems = [
        ColumnProblem(column.name, "the column", got, remedy_for_missing(column.name, frame.columns))
        for column in table.columns
        if column.required and column.name not in frame.columns
    ]
    if frame.is_empty():
        problems.append(ColumnProblem("", "at least one row", "0 rows", "Check the file or query that it comes from."))
    return problems


def _some(names: list[str]) -> str:
    """The first names, and how many others there are."""
    more = len(names) - _MAX_NAMES_SHOWN
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_MAX_NAMES_SHOWN])} and {more:,} others"


def _read_column(
    frame: pl.DataFrame, column: Column, stored: pl.DataType | None
) -> tuple[pl.Series, list[ColumnProblem]]:
    if column.name not in frame.columns:
        return pl.Series(column.name, [None] * frame.height, dtype=stored or column.dtype), []
    cells = frame[column.name]
    values, problems = parse_ids(cells, stored) if column.parse is None else column.parse(cells)
    if column.required and cells.null_count() and not any(problem.rows is None for problem in problems):
        remedy = "Fill it in, or remove the row."
        problems = [ColumnProblem(column.name, _what(column), "null", remedy, cells.is_null()), *problems]
    return values.cast(column.dtype) if column.parse is not None else values, problems


def _what(column: Column) -> str:
    """What a required column holds, for an error."""
    if column.name == "label":
        return "a label"
    if column.parse is parse_fact_cells:
        return "text"
    return "a time" if column.dtype == TIMESTAMP else "an id"


def _read_extra(
    frame: pl.DataFrame, table: Table, stored: Mapping[str, pl.DataType]
) -> tuple[dict[str, pl.Series], list[ColumnProblem]]:
    columns: dict[str, pl.Series] = {}
    problems: list[ColumnProblem] = []
    known = {column.name for column in table.columns}
    # The refusal of a missing column already names the one that is spelt nearly so.
    taken = {name.lower() for name in known if name in frame.columns}
    for name in frame.columns:
        if name in known:
            continue
        if not _is_usable_name(name, taken):
            remedy = (
                f"Rename it: a name must be printable, not empty, without {_FORBIDDEN_IN_NAMES} and no pattern such as "
                "`*` or `^...$`, and differ from the others in more than upper and lower case."
            )
            problems.append(ColumnProblem(name, "a usable column name", repr(name), remedy))
            continue
        taken.add(name.lower())
        values, found = _read_attribute(frame[name], stored.get(name))
        columns |= {} if values is None else {name: values}
        problems += found
    return columns, problems


def _read_features(
    frame: pl.DataFrame, table: Table, stored: Mapping[str, pl.DataType]
) -> tuple[dict[str, pl.Series], list[ColumnProblem]]:
    """The columns that are asked for, and those of earlier appends that the frame has too. Numbers are fractions."""
    known = {column.name for column in table.columns}
    earlier = [name for name in stored if name not in known and name in frame.columns]
    columns: dict[str, pl.Series] = {}
    problems: list[ColumnProblem] = []
    for name in dict.fromkeys([*table.features, *earlier]):
        if name not in frame.columns:
            got = f"only {_some(frame.columns)}"
            remedy = f"{remedy_for_missing(name, frame.columns)} Or take it out of the features."
            problems.append(ColumnProblem(name, "the column", got, remedy))
            continue
        if not _is_usable_name(name, known):
            remedy = "Rename it: a name must be printable, not empty, and no name of the table's own."
            problems.append(ColumnProblem(name, "a usable column name", repr(name), remedy))
            continue
        values, found = parse_attribute(frame[name], stored.get(name))
        if values is not None:
            columns[name] = values.cast(pl.Float64) if values.dtype.is_numeric() else values
        problems += found
    return columns, problems


def _is_usable_name(name: str, taken: Set[str]) -> bool:
    is_printable = bool(name) and name.isprintable() and _FORBIDDEN_IN_NAMES not in name
    # Where polars expects the name of a column, it takes these for several.
    is_pattern = name == "*" or (name.startswith("^") and name.endswith("$"))
    return is_printable and not is_pattern and name.lower() not in taken


def _read_attribute(cells: pl.Series, stored: pl.DataType | None) -> tuple[pl.Series | None, list[ColumnProblem]]:
    if cells.name == "available_from":
        return parse_timestamps(cells)
    return parse_attribute(cells, stored)


def _cancels_problems(columns: Mapping[str, pl.Series]) -> list[ColumnProblem]:
    cancels_itself = (columns["cancels"] == columns["event_id"]).fill_null(value=False)
    if not cancels_itself.any():
        return []
    remedy = "Give the cancellation an event_id of its own, or none."
    return [
        ColumnProblem("cancels", "the event_id of an earlier event", "the row's own event_id", remedy, cancels_itself)
    ]


def _text_problems(
    columns: Mapping[str, pl.Series], table: Table, stored: Mapping[str, pl.DataType]
) -> list[ColumnProblem]:
    names = {column.name for column in table.columns}
    if not table.needs_text or any(values.dtype == pl.String for name, values in columns.items() if name not in names):
        return []
    # Changes of numbers alone, of items whose texts are stored.
    if are_dated_items(table) and any(dtype == pl.String and name != "item_id" for name, dtype in stored.items()):
        return []
    remedy = (
        "Add a text column such as title or description: recmem matches items by their text. Or give vectors of your "
        "own: --vectors."
    )
    return [ColumnProblem("", "at least one text column", f"only {_some(list(columns))}", remedy)]


def _undated_problems(frame: pl.DataFrame, dated: Collection[str]) -> list[ColumnProblem]:
    """Values without times of columns that have come with times: nobody could tell from when on they hold."""
    names = [name for name in dated if name in frame.columns]
    if not names:
        return []
    expected = f"the column, because {_some(names)} came with times before"
    remedy = f"Add from when on each row holds, or leave out {_some(names)}."
    return [ColumnProblem("timestamp", expected, "none", remedy)]
