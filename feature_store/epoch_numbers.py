"""Numbers as times: epoch seconds to nanoseconds by their size, or dates in digits such as 20240131."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from feature_store.data_errors import ColumnProblem, bad_cells
from feature_store.whole_numbers import finite_numbers

_NS_PER_US = 1000


@dataclass(frozen=True)
class EpochUnit:
    """A unit of numbers since 1970."""

    name: str
    at_least: float
    """A column whose median is at least this is of this unit, or of a finer one."""
    microseconds: float


UNITS = (
    EpochUnit("nanoseconds", 1e17, 1e-3),
    EpochUnit("microseconds", 1e14, 1.0),
    EpochUnit("milliseconds", 1e11, 1e3),
    EpochUnit("seconds", 0.0, 1e6),
)
"""From the finest to the coarsest."""


@dataclass(frozen=True)
class DigitForm:
    """A date, or a time of day too, written as one number."""

    name: str
    format: str
    first: int
    last: int


DIGIT_FORMS = (
    DigitForm("YYYYMMDD", "%Y%m%d", 19000101, 21001231),
    DigitForm("YYYYMMDDHHMM", "%Y%m%d%H%M", 190001010000, 210012312359),
    DigitForm("YYYYMMDDHHMMSS", "%Y%m%d%H%M%S", 19000101000000, 21001231235959),
)
"""As epoch numbers they would be August 1970, the year 1976 and the year 2600: no log of events is from there."""
_DIGIT_SHARE = 0.9
"""A column is of a form if at least this share of its cells is; the others are refused."""

_MARGIN_US = 5 * 365 * 86_400_000_000
"""So far from the other times a cell of another unit may lie to be taken for one."""
_LOGS_BEGIN_US = 10 * 365 * 86_400_000_000
"""Units are compared in columns of later times only: small numbers say nothing of their unit."""


def digit_form(column: pl.Series) -> DigitForm | None:
    """The form of a column of dates in digits, None for other numbers."""
    whole = _whole(column)
    n_numbers = len(whole) - whole.null_count()
    for form in DIGIT_FORMS if n_numbers else ():
        within = whole.is_between(form.first, form.last)
        if (within.sum() or 0) >= _DIGIT_SHARE * n_numbers:
            n_dates = len(whole) - _dates(whole, form).null_count()
            return form if n_dates >= _DIGIT_SHARE * n_numbers else None
    return None


def digit_microseconds(column: pl.Series, form: DigitForm) -> pl.Series:
    """Microseconds since 1970 of dates in digits, null for a cell that is not of the form."""
    return _dates(_whole(column), form).cast(pl.Datetime("us")).to_physical()


def unit_of(column: pl.Series) -> EpochUnit:
    """The unit of a column of epoch numbers: by the median of their sizes, so that one corrupt cell does not decide."""
    typical = finite_numbers(column).abs().median()
    size = typical if isinstance(typical, float) else 0.0
    return next(unit for unit in UNITS if size >= unit.at_least)


def epoch_microseconds(column: pl.Series) -> pl.Series:
    """Microseconds since 1970 of epoch numbers of one unit, null where an int64 cannot hold them."""
    factor = unit_of(column).microseconds
    if not column.dtype.is_integer():
        return (finite_numbers(column) * factor).round().cast(pl.Int64, strict=False)
    # Integers stay integers: a float64 cannot hold the nanoseconds since 1970.
    whole = column.cast(pl.Int64, strict=False)
    return whole // _NS_PER_US if factor < 1 else _multiplied(whole, int(factor))


def cells_of_other_units(column: pl.Series) -> list[ColumnProblem]:
    """The cells that lie among the other times in another unit than the column's, such as seconds in milliseconds."""
    numbers = finite_numbers(column)
    sizes = numbers.abs()
    unit = unit_of(column)
    is_own = (sizes >= unit.at_least) & (sizes < _next_unit_from(unit))
    others = numbers.filter(is_own.fill_null(value=False)) * unit.microseconds
    typical = others.median()
    if is_own.all() or not isinstance(typical, float) or typical < _LOGS_BEGIN_US:
        return []
    first = others.min()
    last = others.max()
    problems = []
    for other in UNITS:
        if other is unit or not isinstance(first, float) or not isinstance(last, float):
            continue
        times = numbers * other.microseconds
        among = (sizes >= other.at_least) & (sizes < _next_unit_from(other))
        among &= times.is_between(first - _MARGIN_US, last + _MARGIN_US)
        among = among.fill_null(value=False)
        expected = f"a time in {unit.name} like the rest of the column"
        remedy = f"Convert it to {unit.name}: one unit applies to a column."
        values = numbers.set(among, None)
        problems += bad_cells(
            column.set(~among, None), values, expected=expected, got=f"a number in {other.name}", remedy=remedy
        )
    return problems


def _next_unit_from(unit: EpochUnit) -> float:
    """From which size on a number is of a finer unit."""
    place = UNITS.index(unit)
    return UNITS[place - 1].at_least if place else float("inf")


def _whole(column: pl.Series) -> pl.Series:
    """As Int64, null for fractions and what is beyond 64 bits."""
    if column.dtype.is_integer():
        return column.cast(pl.Int64, strict=False)
    numbers = finite_numbers(column)
    return numbers.set((numbers != numbers.floor()).fill_null(value=True), None).cast(pl.Int64, strict=False)


def _dates(whole: pl.Series, form: DigitForm) -> pl.Series:
    within = whole.set(~whole.is_between(form.first, form.last).fill_null(value=False), None)
    # polars does not parse a time of hours alone: every form gets seconds.
    width = len(str(form.first))
    texts = pl.select(pl.concat_str(within.cast(pl.String), pl.lit("0" * (14 - width)))).to_series()
    return texts.str.to_datetime("%Y%m%d%H%M%S", time_unit="us", strict=False).rename(whole.name)


def _multiplied(whole: pl.Series, factor: int) -> pl.Series:
    """The product, null where an int64 cannot hold it."""
    largest = (2**63 - 1) // factor
    return whole.set(~whole.is_between(-largest, largest).fill_null(value=False), None) * factor
