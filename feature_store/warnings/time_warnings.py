"""Warnings about times that can be read but look wrong, for the receipt of the rows that were accepted."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from feature_store.epoch_numbers import digit_form
from feature_store.excerpts import excerpt
from feature_store.timestamps import DAY_US, as_numbers, iso_time, wall_clock

LOGS_BEGIN = 631_152_000_000_000
"""1990, microseconds: no log of a recommender is older, and wrong units and missing times land before."""
_FEWEST = 20
"""Times needed to estimate which are usual."""
_FAR_IN_RANGES = 10
"""Times so many interquartile ranges from the middle half, and at least a year, are far from the rest."""
_FAR_SHARE = 0.1
"""At most this share of the times can be far from the rest."""
_MOST = 0.5
_LONG_LOAD = 60 * DAY_US
_YEAR = 365 * DAY_US
_FLOAT32_LIMIT = 2.0**24
_DAYS = (20_000, 80_000)
"""Days since 1970 and since 1900 (spreadsheets) of the times around now."""
_US_PER_SECOND = 1_000_000
_MAX_EXAMPLE_CHARS = 40
_ONE_TIME = " have the time "
_ROW = re.compile(r"\be\.g\. row ([0-9]+): ")
_FROM_0 = ", counting from 0"


def arrival_warnings(times: pl.Series, arrivals: pl.Series) -> list[str]:
    """Whether months of rows arrived at one moment after them: before it nothing is known. A sentence or two."""
    micros = arrivals.to_physical()
    first = micros.min()
    begin = times.to_physical().min()
    end = times.to_physical().max()
    if not isinstance(first, int) or not isinstance(begin, int) or not isinstance(end, int):
        return []
    n_at_once = micros.count()
    is_one_load = first == micros.max() and n_at_once >= max(_FEWEST, _MOST * len(micros))
    # Nightly loads arrive so too, and are right.
    if not is_one_load or first <= end or end - begin < _LONG_LOAD:
        return []
    return [
        f"available_at: {n_at_once:,} of {len(micros):,} rows arrived at {iso_time(first)}, after the last of them "
        "happened. They are unknown to every query before that time. If it is when the rows were loaded, leave the "
        "column out."
    ]


def time_warnings(cells: pl.Series, times: pl.Series, *, is_past: bool, is_log: bool = True) -> list[str]:
    """What looks wrong about a column of times, a sentence or two each, with an example.

    `cells` are the column as given and `times` what `parse_timestamps` made of it. `is_past`: whether times after the
    present are wrong, as those of events are. `is_log`: whether the rows happened, as events do; otherwise they hold
    from their times on, as what is known of users does.
    """
    micros = times.to_physical()
    first = micros.min()
    last = micros.max()
    if not isinstance(first, int) or not isinstance(last, int):
        return []
    column = _Column(cells, micros)
    numbers = as_numbers(cells)
    warnings = [] if numbers is None else _number_warnings(column, numbers)
    if first < LOGS_BEGIN:
        warnings.append(column.warning(micros < LOGS_BEGIN, "before 1990", _remedy_for_early(numbers)))
    latest = wall_clock() + DAY_US
    if is_past and last > latest:
        remedy = (
            "An event counts from its time on only; a few that lie far ahead do not move the log clock. "
            "Correct the times."
        )
        warnings.append(column.warning(micros > latest, "after the present", remedy))
    # What lies before or after these has its own warning.
    usual = micros.filter(micros.is_between(LOGS_BEGIN, latest if is_past else last))
    if len(usual) >= _FEWEST:
        warnings += _far_from_the_rest(column, usual)
    n_read = micros.count()
    if cells.name == "timestamp" and n_read >= _FEWEST and first == last:
        consequence = (
            "Rows of one time are not in each other's history. Check that the column holds when each row happened."
            if is_log
            else "No query before that time reads them. If they always held, leave the column out."
        )
        which = "" if n_read == len(micros) else " whose time could be read"
        warnings.append(f"{cells.name}: all {n_read:,} rows{which}{_ONE_TIME}{iso_time(first)}. {consequence}")
    return warnings


def with_line(warning: str, lines: pl.Series | None) -> str:
    """The warning with the line of its file, given each row's, in the place of the row that it names."""
    found = _ROW.search(warning)
    if found is None or lines is None:
        return warning
    begin, end = warning[: found.start()], warning[found.end() :]
    return f"{begin}e.g. line {lines[int(found[1])]}: {''.join(end.rsplit(_FROM_0, 1))}"


def is_about_one_time(warning: str) -> bool:
    """Whether a warning of `time_warnings` says that all rows have one time, which says nothing about part of a log."""
    return warning.startswith("timestamp: all ") and _ONE_TIME in warning


@dataclass(frozen=True, eq=False)
class _Column:
    """A column of times."""

    cells: pl.Series
    """As given."""
    micros: pl.Series
    """As parsed."""

    def warning(self, rows: pl.Series, where: str, remedy: str) -> str:
        """How many of these rows there are, with the first of them."""
        places = rows.arg_true()
        place = int(places[0])
        share = f"{len(places):,} of {len(rows):,} rows lie {where}, e.g. row {place}: {iso_time(self.micros[place])}"
        return f"{self.cells.name}: {share}{self._given(place)}{_FROM_0}. {remedy}"

    def _given(self, place: int) -> str:
        if isinstance(self.cells.dtype, pl.Datetime | pl.Date):
            return ""
        return f", read from {excerpt(repr(self.cells[place]), _MAX_EXAMPLE_CHARS)}"


def _number_warnings(column: _Column, numbers: pl.Series) -> list[str]:
    name = column.cells.name
    form = digit_form(numbers)
    if form is not None:
        place = int(column.micros.is_not_null().arg_true()[0])
        number = column.cells[place]
        read = f"such as {number!r}, were read as dates in digits ({form.name}): {iso_time(column.micros[place])}"
        return [f"{name}: numbers, {read}. Give datetimes, ISO 8601 text or epoch numbers if they are none."]
    is_short = numbers.dtype in (pl.Float32, pl.Float16)
    if is_short and (numbers.abs().max() or 0.0) >= _FLOAT32_LIMIT:  # type: ignore[operator]
        n_times = column.micros.n_unique()
        return [
            f"{name}: 32-bit floats cannot hold these numbers: times were rounded to about two minutes, and "
            f"{len(numbers):,} rows have {n_times:,} distinct times. Write them as 64-bit integers or datetimes."
        ]
    return []


def _remedy_for_early(numbers: pl.Series | None) -> str:
    if numbers is None:
        return "Correct the times, or remove the rows, if that is wrong."
    typical = numbers.cast(pl.Float64).median()
    if isinstance(typical, float) and _DAYS[0] <= typical <= _DAYS[1]:
        return "They may be days since 1900 or 1970: convert them to datetimes."
    if isinstance(typical, float) and typical * _US_PER_SECOND >= LOGS_BEGIN and (numbers <= 0).any():
        return "0 and -1 often stand for a missing time: give null, or the time."
    return "Numbers are read as epoch seconds, or milliseconds and finer if most are large: check their unit."


def _far_from_the_rest(column: _Column, usual: pl.Series) -> list[str]:
    """Whether a few of the times that are possible lie years from where nearly all are."""
    lower = int(usual.quantile(0.25, "nearest") or 0)
    upper = int(usual.quantile(0.75, "nearest") or 0)
    reach = max(_FAR_IN_RANGES * (upper - lower), _YEAR)
    first = max(lower - reach, int(usual.min() or 0))  # type: ignore[arg-type]
    last = min(upper + reach, int(usual.max() or 0))  # type: ignore[arg-type]
    is_usual = column.micros.is_between(LOGS_BEGIN, int(usual.max() or 0))  # type: ignore[arg-type]
    is_far = (is_usual & ~column.micros.is_between(first, last)).fill_null(value=False)
    n_far = int(is_far.sum() or 0)
    if not 0 < n_far <= _FAR_SHARE * len(usual):
        return []
    rest = usual.filter(usual.is_between(first, last))
    between = f"{iso_time(int(rest.min()))[:10]} and {iso_time(int(rest.max()))[:10]}"  # type: ignore[arg-type]
    where = f"far from the others, which lie between {between}"
    return [column.warning(is_far, where, "Correct the times, or remove the rows, if that is wrong.")]
