"""Times in every common form, parsed into microseconds in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

import polars as pl

from feature_store.data_errors import ColumnProblem, bad_cells, refused_column

TIMESTAMP = pl.Datetime("us", "UTC")
"""The dtype of every time in the store."""

# The whole years that nanoseconds in an int64 (pandas, Arrow) can hold.
_EARLIEST = "1678-01-01T00:00:00.0+00:00"
_LATEST = "2262-01-01T00:00:00.0+00:00"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_UNITS = ((1e17, 1e-3), (1e14, 1.0), (1e11, 1e3), (0.0, 1e6))
"""(From which median on, microseconds per unit) of a column of epoch numbers: ns, us, ms, s."""

_NS_PER_US = 1000

_ISO = (
    r"^\s*(?<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?<clock>[0-9]{2}:[0-9]{2})(?::(?<seconds>[0-9]{2})(?:[.,](?<fraction>[0-9]{1,9}))?)?"
    r"\s?(?:(?<utc>[Zz]|UTC)|(?<hours>[+-][0-9]{2}):?(?<minutes>[0-9]{2})?)?)?\s*$"
)
_TEXT = (pl.String, pl.Categorical, pl.Enum, pl.Null)
_NORMAL_FORM = "%Y-%m-%dT%H:%M:%S%.f%:z"
_EXPECTED = "a time"
_REMEDY = "Give datetimes, ISO 8601 text or epoch numbers, from the years 1678 to 2261."


def parse_timestamps(column: pl.Series) -> tuple[pl.Series, list[ColumnProblem]]:
    """The column as `Datetime("us", "UTC")`, null where a cell is not a time, and those cells as faults.

    Accepts datetimes with a zone (converted) and without (taken as UTC), dates (midnight UTC), ISO 8601 text (UTC
    if it names no zone) and epoch numbers, also as text. One unit applies to a whole column of epoch numbers, by the
    median of their absolute values: milliseconds from 1e11 on, microseconds from 1e14, nanoseconds from 1e17, else
    seconds. (With the median, one corrupt cell cannot turn the seconds of all others into nanoseconds.)

    Null cells stay null and are not a fault here.
    """
    if column.dtype == TIMESTAMP and _is_plain(column.to_physical()):
        return column, []
    times = _read(column)
    if times is None:
        refused = refused_column(column, expected=_EXPECTED, remedy="Convert it to datetimes.")
        return pl.Series(column.name, [None] * len(column), dtype=TIMESTAMP), [refused]
    first, last = _bounds()  # the last is exclusive
    times = pl.select(pl.when((times >= first) & (times < last)).then(times)).to_series().rename(column.name)
    got = "text that is not an ISO time" if column.dtype in _TEXT else "a number or date outside the years 1678 to 2261"
    return times, bad_cells(column, times, expected=_EXPECTED, got=got, remedy=_REMEDY)


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
        return aware.cast(TIMESTAMP)
    if dtype == pl.Date:
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if dtype.is_numeric():
        return _epoch_microseconds(column).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if dtype in _TEXT:
        return _from_iso_or_epochs(column.cast(pl.String))
    return None


def _from_iso_or_epochs(column: pl.Series) -> pl.Series:
    """Text of ISO times, or of epoch numbers if those are more; then a cell that is neither is no time."""
    numbers = column.str.strip_chars().cast(pl.Float64, strict=False)
    numbers = numbers.set(~numbers.is_finite().fill_null(value=True), None)
    if not numbers.count():
        return _from_text(column)
    iso = _from_text(column) if numbers.null_count() > column.null_count() else None
    if iso is not None and numbers.count() <= iso.count():
        return iso
    # Whole numbers stay whole: a float64 cannot hold the nanoseconds since 1970.
    whole = column.str.strip_chars().cast(pl.Int64, strict=False)
    exact = whole if whole.null_count() == numbers.null_count() else numbers
    times = _epoch_microseconds(exact).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return times if iso is None else pl.select(pl.coalesce(iso, times)).to_series()


def _epoch_microseconds(column: pl.Series) -> pl.Series:
    numbers = column.cast(pl.Float64)
    numbers = numbers.set(~numbers.is_finite().fill_null(value=False), None)
    typical = numbers.abs().median()
    size = typical if isinstance(typical, float) else 0.0
    factor = next(factor for at_least, factor in _EPOCH_UNITS if size >= at_least)
    if not column.dtype.is_integer():
        return (numbers * factor).round().cast(pl.Int64, strict=False)
    # Integers stay integers: a float64 cannot hold the nanoseconds since 1970.
    whole = column.cast(pl.Int64, strict=False)
    return whole // _NS_PER_US if factor < 1 else _multiplied(whole, int(factor))


def _multiplied(whole: pl.Series, factor: int) -> pl.Series:
    """The product, null where an int64 cannot hold it."""
    largest = (2**63 - 1) // factor
    return whole.set(~whole.is_between(-largest, largest).fill_null(value=False), None) * factor


def _from_text(column: pl.Series) -> pl.Series:
    """Each cell is parsed by itself: polars would infer one format for the whole column."""
    part = column.rename("text").to_frame().select(pl.col("text").str.extract_groups(_ISO)).unnest("text")
    zone = pl.when(pl.col("utc").is_null() & pl.col("hours").is_not_null()).then(
        pl.format("{}:{}", "hours", pl.col("minutes").fill_null("00"))
    )
    # Every part that a cell leaves out gets its default, so that one format fits all.
    normal = pl.format(
        "{}T{}:{}.{}{}",
        "day",
        pl.col("clock").fill_null("00:00"),
        pl.col("seconds").fill_null("00"),
        pl.col("fraction").fill_null("0"),
        zone.otherwise(pl.lit("+00:00")),
    )
    return _instants(part.select(normal.alias(column.name)).to_series())


def _instants(texts: pl.Series) -> pl.Series:
    return texts.str.to_datetime(_NORMAL_FORM, time_unit="us", time_zone="UTC", strict=False)


def iso_time(time: int) -> str:
    """A time in microseconds since 1970 UTC as ISO 8601 text, such as 2026-03-01T12:30:00+00:00."""
    return (_EPOCH + timedelta(microseconds=time)).isoformat()
