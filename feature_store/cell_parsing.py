"""Parses columns into the store's dtypes; a cell that cannot be parsed is reported, never guessed.

Every function returns the column in the store's dtype, null where a cell is bad, and the problems found. Null cells
stay null and are no problem here: whether a column may be null is a rule of the table.
"""

from __future__ import annotations

import polars as pl

from feature_store.data_errors import ColumnProblem, bad_cells, refused_column
from feature_store.python_cells import are_python_times
from feature_store.timestamps import parse_timestamps
from feature_store.whole_numbers import finite_numbers, is_rounded, whole_numbers

_TEXT = (pl.String, pl.Categorical, pl.Enum, pl.Null)
LIST_SEPARATOR = ", "
"""Joins the words of a list that is stored as one text."""
_TRUTH = {"true": "1", "false": "0"}
_NUMBERS = (pl.Int64, pl.Float64)
_TIMES = (pl.Date, pl.Datetime)


def parse_ids(column: pl.Series, stored: pl.DataType | None = None) -> tuple[pl.Series, list[ColumnProblem]]:
    """Ids as String or Int64; as `stored` if an earlier append has decided.

    The one place that decides what an id of any dtype is: tables, candidates, given histories and single ids all come
    here. Integers of any width become Int64, Categorical and Enum become String. Floats and decimals are accepted if
    they are whole numbers, because pandas turns integers with missing values into floats and databases call their
    integers decimals. A float too large to be exact is no id. Text becomes an integer only in its plain form: "007"
    is not 7.
    """
    if column.dtype in _TEXT:
        text = column if column.dtype == pl.String else column.cast(pl.String)
        if stored != pl.Int64 and not (text == "").any():
            return text, []
        return _ids_from_text(text, stored)
    if not column.dtype.is_numeric():
        return _refused(column, stored or pl.String(), "ids as text or integers", "Cast the column to pl.String.")
    whole = whole_numbers(column)
    rounded = is_rounded(column)
    remedy = "Give ids as text or integers."
    got = "a number that is not a 64-bit integer"
    problems = bad_cells(column, whole.set(rounded, 0), expected="an id", got=got, remedy=remedy)
    got = f"a {column.dtype} too large to be exact, so that different ids became one"
    problems += bad_cells(column.set(~rounded, None), whole, expected="an id", got=got, remedy=remedy)
    return (whole.cast(pl.String) if stored == pl.String else whole), problems


def parse_id(value: object, stored: pl.DataType | None = None) -> object | None:
    """One id as `parse_ids` reads it, text or an int; None if the value cannot be an id of that dtype."""
    try:
        column = pl.Series("id", [value])
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return None
    found: object | None = parse_ids(column, stored)[0][0]
    return found


def id_text(value: object) -> str:
    """One id as text, the same for 7, 7.0 and "7"; any text for a value that cannot be an id."""
    found = parse_id(value, pl.String())
    return str(value if found is None else found)


def _ids_from_text(column: pl.Series, stored: pl.DataType | None) -> tuple[pl.Series, list[ColumnProblem]]:
    if stored != pl.Int64:
        ids = column.set((column == "").fill_null(value=False), None)
        remedy = "Give the id, or remove the row."
        return ids, bad_cells(column, ids, expected="an id", got="empty text", remedy=remedy)
    whole = column.cast(pl.Int64, strict=False)
    ids = whole.set((whole.cast(pl.String) != column).fill_null(value=True), None)
    remedy = "The store's first append had integer ids; to use text ids, start a new store."
    return ids, bad_cells(column, ids, expected="an integer id", got="text that is not an integer", remedy=remedy)


def parse_names(column: pl.Series) -> tuple[pl.Series, list[ColumnProblem]]:
    """Text, from text or whole numbers: kinds of event, sessions, and ids of events. Empty text becomes null.

    Otherwise all events with an empty `event_id` would count as one event.
    """
    if column.dtype in _TEXT:
        text = column.cast(pl.String)
        return text.set((text == "").fill_null(value=False), None), []
    return parse_ids(column, pl.String())


def parse_numbers(column: pl.Series) -> tuple[pl.Series, list[ColumnProblem]]:
    """Float64, from numbers, booleans or their text. NaN and infinity are problems, because they spoil every mean."""
    if not (column.dtype.is_numeric() or column.dtype in (*_TEXT, pl.Boolean)):
        return _refused(column, pl.Float64(), "numbers", "Cast the column to pl.Float64, or drop it.")
    plain = column.cast(pl.String) if column.dtype in _TEXT else column
    numbers = finite_numbers(plain)
    kind = "text that is not a number" if column.dtype in _TEXT else "NaN or infinity"
    remedy = "Give null if there is no number."
    return numbers, bad_cells(column, numbers, expected="a finite number", got=kind, remedy=remedy)


def parse_weights(column: pl.Series) -> tuple[pl.Series, list[ColumnProblem]]:
    """Float64, 0 or more, from numbers, booleans or their text."""
    numbers, problems = parse_numbers(column)
    weights = numbers.set((numbers < 0).fill_null(value=False), None)
    remedy = "Give 0 to leave the row out of training, or null for a weight of 1."
    problems += bad_cells(numbers, weights, expected="a weight of 0 or more", got="a negative number", remedy=remedy)
    return weights, problems


def parse_labels(column: pl.Series) -> tuple[pl.Series, list[ColumnProblem]]:
    """Int8, 0 (shown only) or 1 (chosen), from numbers, booleans or their text."""
    plain = column.cast(pl.String).str.to_lowercase().replace(_TRUTH) if column.dtype in _TEXT else column
    numbers, problems = parse_numbers(plain)
    if any(problem.rows is None for problem in problems):
        return numbers.cast(pl.Int8), problems
    labels = numbers.set(~numbers.is_in([0.0, 1.0]).fill_null(value=True), None).cast(pl.Int8)
    remedy = "Map the labels to 0 and 1."
    return labels, bad_cells(column, labels, expected="a label of 0 or 1", got="another value", remedy=remedy)


def parse_positions(column: pl.Series) -> tuple[pl.Series, list[ColumnProblem]]:
    """Int32, from whole numbers."""
    numbers, problems = parse_numbers(column)
    if any(problem.rows is None for problem in problems):
        return numbers.cast(pl.Int32), problems
    positions = whole_numbers(numbers).cast(pl.Int32, strict=False)
    remedy = "Give null if the position is unknown."
    problems += bad_cells(numbers, positions, expected="a 32-bit integer", got="another number", remedy=remedy)
    return positions, problems


def parse_attribute(
    column: pl.Series, stored: pl.DataType | None = None
) -> tuple[pl.Series | None, list[ColumnProblem]]:
    """An item's column as text, Int64, Float64, Date or Datetime; as `stored` if the store has the column.

    NaN and infinity become null, booleans 0 and 1, decimals Float64, lists of words or numbers one text. A column that
    is all null has no dtype yet: None is returned, unless it is stored. Fractions for a stored Int64 stay Float64, and
    the store widens its column. Dates outside the years 1 to 9999 are problems.
    """
    plain = _plain(column)
    if plain is None:
        _, problems = _refused(column, pl.String(), "text or numbers", "Convert it to text or numbers, or drop it.")
        return None, problems
    if plain.dtype == pl.Null:
        return (None if stored is None else plain.cast(stored)), []
    plain, problems = _within_years(plain, column) if plain.dtype in _TIMES else (plain, [])
    if stored is None or plain.dtype == stored:
        return plain, problems
    values, found = _as_stored(plain, stored)
    return values, problems + found


def _within_years(times: pl.Series, column: pl.Series) -> tuple[pl.Series, list[ColumnProblem]]:
    """The dates that Python can hold too; Delta Lake fails on some others as a whole. `column`: as they were given."""
    kept = times.set(~are_python_times(times), None)
    remedy = "Correct it, or give null if there is no date."
    return kept, bad_cells(column, kept, expected="a date of the years 1 to 9999", got="another", remedy=remedy)


def _plain(column: pl.Series) -> pl.Series | None:
    dtype = column.dtype
    if dtype.is_integer() or dtype == pl.Boolean:
        whole = column.cast(pl.Int64, strict=False)
        return whole if whole.null_count() == column.null_count() else column.cast(pl.Float64)
    if dtype.is_float() or dtype.is_decimal():
        return finite_numbers(column)
    if isinstance(dtype, pl.Datetime):
        zoned = column.dt.replace_time_zone("UTC") if dtype.time_zone is None else column.dt.convert_time_zone("UTC")
        return zoned.cast(pl.Datetime("us", "UTC"), strict=False)
    if isinstance(dtype, pl.List | pl.Array):
        return _joined(column, dtype)
    if dtype in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    return column if dtype in (pl.String, pl.Date, pl.Null) else None


def _joined(column: pl.Series, dtype: pl.List | pl.Array) -> pl.Series | None:
    inner = pl.DataType.from_python(dtype.inner) if isinstance(dtype.inner, type) else dtype.inner
    if not (inner in _TEXT or inner.is_numeric()):
        return None
    return column.cast(pl.List(pl.String)).list.join(LIST_SEPARATOR, ignore_nulls=True)


def _as_stored(plain: pl.Series, stored: pl.DataType) -> tuple[pl.Series, list[ColumnProblem]]:
    if stored == pl.Int64 and plain.dtype == pl.Float64:
        # Stays Float64 if any cell is a fraction, so that the stored column widens.
        whole = whole_numbers(plain)
        return (whole if whole.null_count() == plain.null_count() else plain), []
    is_either_text = pl.String in (stored, plain.dtype)
    are_both_numbers = plain.dtype in _NUMBERS and stored in _NUMBERS
    are_both_times = plain.dtype in _TIMES and stored in _TIMES
    if not (is_either_text or are_both_numbers or are_both_times):
        remedy = "Cast the column, or rename it."
        return _refused(plain, stored, f"{stored} as in the store", remedy)
    is_time_text = plain.dtype == pl.String and stored in _TIMES
    values = (parse_timestamps(plain)[0] if is_time_text else plain).cast(stored, strict=False)
    remedy = "Convert it to the stored type, or rename the column."
    expected = f"{stored} as in the store"
    return values, bad_cells(
        plain, values, expected=expected, got=f"{plain.dtype} that does not convert to it", remedy=remedy
    )


def _refused(cells: pl.Series, dtype: pl.DataType, expected: str, remedy: str) -> tuple[pl.Series, list[ColumnProblem]]:
    nulls = pl.Series(cells.name, [None] * len(cells), dtype=dtype)
    return nulls, [refused_column(cells, expected=expected, remedy=remedy)]
