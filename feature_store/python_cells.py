"""Rows of a frame as Python objects, also where a column holds times that Python's datetime cannot."""

from __future__ import annotations

import polars as pl

_PYTHON_DAYS = (-719_160, 2_932_894)
"""Days from 1970 that Python's datetime covers in every time zone: years 1 to 9999."""
_POLARS_DAYS = (-70_000_000, 70_000_000)
"""Days from 1970 that polars can format, some 190,000 years; it panics a little beyond."""
_UNITS_PER_DAY = {"ns": 86_400_000_000_000, "us": 86_400_000_000, "ms": 86_400_000}


def with_python_times(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, with each column of times that Python cannot hold as text: ISO 8601, or a number beyond its reach."""
    times = [name for name, dtype in rows.schema.items() if isinstance(dtype, pl.Date | pl.Datetime)]
    far = [name for name in times if not are_python_times(rows[name]).all()]
    return rows.with_columns(_as_text(rows[name]) for name in far)


def are_python_times(times: pl.Series) -> pl.Series:
    """Which dates or datetimes Python can hold, those of the years 1 to 9999: bool[row], null where there is none."""
    return pl.select(_is_within(times, _PYTHON_DAYS)).to_series()


def _is_within(times: pl.Series, days: tuple[int, int]) -> pl.Expr:
    units = _UNITS_PER_DAY[times.dtype.time_unit] if isinstance(times.dtype, pl.Datetime) else 1
    first, last = days
    # The column itself, not `pl.col(name)`, which takes names such as `*` for patterns.
    # In 128 bits, because the bounds in nanoseconds do not fit into 64.
    return pl.lit(times).to_physical().cast(pl.Int128).is_between(first * units, last * units)


def _as_text(times: pl.Series) -> pl.Expr:
    formatted = pl.when(_is_within(times, _POLARS_DAYS)).then(pl.lit(times)).dt.to_string("iso")
    return pl.coalesce(formatted, pl.lit(times).to_physical().cast(pl.String)).alias(times.name)
