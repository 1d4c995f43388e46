"""Times in every common form, parsed into microseconds in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from time import time_ns

import polars as pl

from feature_store.data_errors import ColumnProblem, bad_cells, refused_column
from feature_store.epoch_numbers import (
    cells_of_other_units,
    digit_form,
    digit_microseconds,
    epoch_microseconds,
)
from feature_store.whole_numbers import finite_numbers

TIMESTAMP = pl.Datetime("us", "UTC")
"""The dtype of every time in the store."""

# The whole years that nanoseconds in an int64 (pandas, Arrow) can hold.
_FIRST_YEAR = 1678
_LAST_YEAR = 2261
_EARLIEST = f"{_FIRST_YEAR}-01-01T00:00:00.0+00:00"
_LATEST = f"{_LAST_YEAR + 1}-01-01T00:00:00.0+00:00"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS_PER_US = 1000
DAY_US = 86_400_000_000

_ISO = (
    r"^\s*(?<day>[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}/[0-9]{1,2}/[0-9]{1,2})"
    r"(?:[Tt ](?<clock>[0-9]{1,2}:[0-9]{2})(?::(?<seconds>[0-9]{2})(?:[.,](?<fraction>[0-9]{1,9}))?)?"
    r"\s?(?:(?<utc>[Zz]|UTC)|(?<hours>[+-][0-9]{2}):?(?<minutes>[0-9]{2})?)?)?\s*$"
)
_BASIC_MINUTES = r"^(\s*[0-9]{4})([0-9]{2})([0-9]{2}[Tt][0-9]{2})([0-9]{2})"
"""ISO 8601 without separators, such as 20240131T1005. The T tells it from a number."""
_BASIC_SECONDS = _BASIC_MINUTES + r"([0-9]{2})"
_YEAR_LAST = r"^\s*[0-9]{1,2}([./-][0-9]{1,2}[./-][0-9]{4}|[/-][0-9]{1,2}[/-][0-9]{2})(\s|,|T|$)"
"""A date such as 01/03/2026 or 1.3.2026, or 01/03/26: with two digits of the year, points would be a time of day."""
_CLOCK_ALONE = r"^\s*[0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?\s*$"
_TEXT = (pl.String, pl.Categorical, pl.Enum, pl.Null)
_NORMAL_FORM = "%Y-%m-%dT%H:%M:%S%.f%:z"
_EXPECTED = "a time"
_OUT_OF_RANGE = f"a number or date outside the years {_FIRST_YEAR} to {_LAST_YEAR}"
_NO_DATE = "a date that does not exist"
_NO_CLOCK = "a time of day or a zone that does not exist"
_REMEDY = f"Give datetimes, ISO 8601 text or epoch numbers, from the years {_FIRST_YEAR} to {_LAST_YEAR}."


def parse_timestamps(column: pl.Series) -> tuple[pl.Series, list[ColumnProblem]]:
    """The column as `Datetime("us", "UTC")`, null where a cell is not a time, and those cells as faults.

    Accepts datetimes with a zone (converted) and without (taken as UTC), dates (midnight UTC), ISO 8601 text (UTC if it
    names no zone; an hour may have one digit, as spreadsheets write it; also 2024/1/31, with the year first, and
    20240131T100500Z), epoch numbers, and dates in digits such as 20240131, both also as text. One form and unit applies
    to a whole column of numbers, by the median of their absolute values: milliseconds from 1e11 on, microseconds from
    1e14, nanoseconds from 1e17, else seconds. (With the median, one corrupt cell cannot turn the seconds of all others
    into nanoseconds.) A number that lies among the others in another unit only is a fault. What is accepted but looks
    wrong gets a warning: `time_warnings`.

    Null cells stay null and are not a fault here.
    """
    if column.dtype == TIMESTAMP and _is_plain(column.to_physical()):
        return column, []
    faults: list[ColumnProblem] = []
    numbers = as_numbers(column)
    times = _read(column) if numbers is None else _from_numbers(numbers)
    if numbers is not None and column.dtype in _TEXT and numbers.null_count() > column.null_count():
        # Among epoch numbers an ISO time is still a time.
        times = pl.select(pl.coalesce(times, _from_text(column.cast(pl.String)))).to_series()
    if times is None:
        refused = refused_column(column, expected=_EXPECTED, remedy="Convert it to datetimes.")
        return pl.Series(column.name, [None] * len(column), dtype=TIMESTAMP), [refused]
    if numbers is not None and digit_form(numbers) is None:
        faults = cells_of_other_units(numbers)
    for fault in faults:
        times = times.set(_mask(fault), None)
        column = column.set(_mask(fault), None)
    first, last = _bounds()  # the last is exclusive
    times = pl.select(pl.when((times >= first) & (times < last)).then(times)).to_series().rename(column.name)
    if column.dtype in _TEXT:
        got = "text that is not an ISO time" if numbers is None else "text that is not an epoch number or an ISO time"
        if times.null_count() > column.null_count():
            column = column.cast(pl.String)
            far = _years_out_of_range(column)
            faults += bad_cells(column.set(~far, None), times, expected=_EXPECTED, got=_OUT_OF_RANGE, remedy=_REMEDY)
            column = column.set(far, None)
    else:
        got = _OUT_OF_RANGE
    if times.null_count() > column.null_count():
        for cells, what in _impossible_times(column.set(times.is_not_null(), None), numbers):
            faults += bad_cells(column.set(~cells, None), times, expected=_EXPECTED, got=what, remedy=_REMEDY)
            column = column.set(cells, None)
    return times, faults + bad_cells(column, times, expected=_EXPECTED, got=got, remedy=_REMEDY)


def _impossible_times(bad: pl.Series, numbers: pl.Series | None) -> list[tuple[pl.Series, str]]:
    """Which of the cells that are no times have the form of one, bool[row] each, and what is wrong with these.

    `bad` is null where a cell is a time; `numbers` are the column as numbers, if it is read so.
    """
    form = None if numbers is None else digit_form(numbers)
    if numbers is not None and form is not None:
        in_form = numbers.is_between(form.first, form.last) & bad.is_not_null()
        return [(in_form.fill_null(value=False), _NO_DATE)]
    if bad.dtype != pl.String:
        return []
    days = _days(bad)
    no_date = days.is_not_null() & days.str.to_date("%Y-%m-%d", strict=False).is_null()
    no_clock = days.is_not_null() & ~no_date
    alone = bad.str.contains(_CLOCK_ALONE).fill_null(value=False)
    year_last = bad.str.contains(_YEAR_LAST).fill_null(value=False)
    return [
        (no_date, _NO_DATE),
        (no_clock, _NO_CLOCK),
        (alone, "a time of day without a date"),
        (year_last, "a date that does not begin with the year, so that day and month could be swapped"),
    ]


def _years_out_of_range(text: pl.Series) -> pl.Series:
    """Which cells are ISO times of years that a store does not hold, such as 9999-12-31: bool[row]."""
    year = _days(text).str.head(4)
    return (~year.cast(pl.Int64).is_between(_FIRST_YEAR, _LAST_YEAR)).fill_null(value=False)


def as_numbers(column: pl.Series) -> pl.Series | None:
    """The numbers of a column that is read as epoch numbers or dates in digits; None for any other.

    Text is read so if more of its cells are numbers than ISO times; the other cells are null then.
    """
    if column.dtype.is_numeric():
        return column
    if column.dtype not in _TEXT:
        return None
    text = column.cast(pl.String)
    plain = text.str.strip_chars()
    numbers = finite_numbers(plain)
    if not numbers.count():
        return None
    if numbers.null_count() > text.null_count() and numbers.count() <= _from_text(text).count():
        return None
    # Whole numbers stay whole: a float64 cannot hold the nanoseconds since 1970.
    whole = plain.cast(pl.Int64, strict=False)
    return whole if whole.null_count() == numbers.null_count() else numbers


def _mask(fault: ColumnProblem) -> pl.Series:
    return pl.Series([], dtype=pl.Boolean) if fault.rows is None else fault.rows


@cache
def _bounds() -> pl.Series:
    return _instants(pl.Series([_EARLIEST, _LATEST]))


def _is_plain(micros: pl.Series) -> bool:
    """Whether all times lie within the years that a store accepts."""
    first, last = _bounds().to_physical()
    least = micros.min()
    most = micros.max()
    return isinstance(least, int) and isinstance(most, int) and first <= least and most < last


def _read(column: pl.Series) -> pl.Series | None:
    dtype = column.dtype
    if isinstance(dtype, pl.Datetime):
        aware = column.dt.replace_time_zone("UTC") if dtype.time_zone is None else column.dt.convert_time_zone("UTC")
        # Not strict: a time beyond the reach of microseconds is null then, and a bad cell.
        return aware.cast(TIMESTAMP, strict=False)
    if dtype == pl.Date:
        return column.cast(pl.Datetime("us"), strict=False).dt.replace_time_zone("UTC")
    if dtype in _TEXT:
        return _from_text(column.cast(pl.String))
    return None


def _from_numbers(numbers: pl.Series) -> pl.Series:
    form = digit_form(numbers)
    micros = epoch_microseconds(numbers) if form is None else digit_microseconds(numbers, form)
    return micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _from_text(column: pl.Series) -> pl.Series:
    """Each cell is parsed by itself: polars would infer one format for the whole column."""
    text = _with_separators(column).rename("text")
    part = text.to_frame().select(pl.col("text").str.extract_groups(_ISO)).unnest("text")
    zone = pl.when(pl.col("utc").is_null() & pl.col("hours").is_not_null()).then(
        pl.format("{}:{}", "hours", pl.col("minutes").fill_null("00"))
    )
    # Every part that a cell leaves out gets its default, so that one format fits all.
    normal = pl.format(
        "{}T{}:{}.{}{}",
        pl.col("day").str.replace_all("/", "-", literal=True),
        pl.col("clock").str.zfill(len("00:00")).fill_null("00:00"),
        pl.col("seconds").fill_null("00"),
        pl.col("fraction").fill_null("0"),
        zone.otherwise(pl.lit("+00:00")),
    )
    return _instants(part.select(normal.alias(column.name)).to_series())


def _with_separators(text: pl.Series) -> pl.Series:
    """20240131T100500 as 2024-01-31T10:05:00, other cells as they are."""
    if not text.str.contains(_BASIC_MINUTES).any():
        return text
    return text.str.replace(_BASIC_SECONDS, "${1}-${2}-${3}:${4}:${5}").str.replace(
        _BASIC_MINUTES, "${1}-${2}-${3}:${4}"
    )


def _days(text: pl.Series) -> pl.Series:
    """The date of each ISO time, such as 2024-01-31 or 2024-1-31, whether it exists or not; null for other cells."""
    return _with_separators(text).str.extract(_ISO, 1).str.replace_all("/", "-", literal=True)


def _instants(texts: pl.Series) -> pl.Series:
    return texts.str.to_datetime(_NORMAL_FORM, time_unit="us", time_zone="UTC", strict=False)


def wall_clock() -> int:
    """The present time, microseconds since 1970 UTC."""
    return time_ns() // _NS_PER_US


def iso_time(time: int) -> str:
    """A time in microseconds since 1970 UTC as ISO 8601 text, such as 2026-03-01T12:30:00+00:00."""
    return (_EPOCH + timedelta(microseconds=time)).isoformat()
