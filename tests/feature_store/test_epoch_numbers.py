"""Numbers as times: units by size, cells of another unit, dates in digits."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.epoch_numbers import cells_of_other_units, digit_form, unit_of
from feature_store.timestamps import parse_timestamps

NOON_S = 1_709_208_000
NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


def parsed(cells: list[Any], dtype: Any = None) -> tuple[list[datetime | None], list[str]]:
    times, faults = parse_timestamps(pl.Series("timestamp", cells, dtype=dtype))
    return times.to_list(), [fault.reason for fault in faults]


@pytest.mark.parametrize(
    ("scale", "stray", "reason"),
    [
        (1, 10**3, "a time in seconds like the rest of the column, got a number in milliseconds"),
        (1, 10**9, "a time in seconds like the rest of the column, got a number in nanoseconds"),
        (10**3, 1, "a time in milliseconds like the rest of the column, got a number in seconds"),
        (10**6, 10**3, "a time in microseconds like the rest of the column, got a number in milliseconds"),
        (10**9, 1, "a time in nanoseconds like the rest of the column, got a number in seconds"),
    ],
)
@pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64])
def test_a_cell_of_another_unit_is_a_fault_and_no_time_in_1970(scale: int, stray: int, reason: str, dtype: Any) -> None:
    cells = [NOON_S * scale, (NOON_S + 60) * scale, (NOON_S + 3600) * stray, (NOON_S + 120) * scale]
    times, reasons = parsed(cells, dtype)
    assert [time is None for time in times] == [False, False, True, False]
    assert reasons == [f"timestamp: expected {reason}"]


def test_cells_of_other_units_are_distinguished_from_cells_that_are_no_time() -> None:
    cells = [*range(NOON_S, NOON_S + 7), NOON_S * 10**3, NOON_S * 10**6, 10**17]
    times, reasons = parsed(cells)
    assert [time is None for time in times] == [False] * 7 + [True] * 3
    assert sum("number in" in reason for reason in reasons) == 2
    assert sum("outside the years" in reason for reason in reasons) == 1


def test_an_early_time_that_is_none_of_another_unit_stays() -> None:
    cells = [NOON_S * 1000, NOON_S * 1000 + 7, 0]
    assert cells_of_other_units(pl.Series(cells)) == []
    assert parsed(cells)[0][2] == datetime(1970, 1, 1, tzinfo=UTC)


def test_small_numbers_say_nothing_of_their_unit() -> None:
    assert cells_of_other_units(pl.Series([1, 2, 3, 4, 10**12])) == []


@pytest.mark.parametrize(
    ("cells", "dtype", "expected"),
    [
        ([20240229], pl.Int64, datetime(2024, 2, 29, tzinfo=UTC)),
        ([20240229], pl.Int32, datetime(2024, 2, 29, tzinfo=UTC)),
        ([20240229.0, None], pl.Float64, datetime(2024, 2, 29, tzinfo=UTC)),
        ([202402291200], pl.Int64, NOON),
        ([20240229120000], pl.UInt64, NOON),
        ([20240229120000.0], pl.Float64, NOON),
    ],
)
def test_dates_in_digits_are_the_dates_that_they_show(cells: list[Any], dtype: Any, expected: datetime) -> None:
    times, reasons = parsed(cells, dtype)
    assert (times[0], reasons) == (expected, [])


def test_a_number_among_dates_in_digits_that_is_no_date_is_a_fault() -> None:
    times, reasons = parsed([20240131] * 10 + [20240230])
    assert times[-1] is None
    assert times.count(datetime(2024, 1, 31, tzinfo=UTC)) == 10
    assert len(reasons) == 1


@pytest.mark.parametrize("cells", [[], [None], [20241399], [NOON_S], [NOON_S * 1000], [0, 1, 2], [20240131, 5]])
def test_other_numbers_are_no_dates_in_digits(cells: list[int | None]) -> None:
    assert digit_form(pl.Series(cells, dtype=pl.Int64)) is None


@given(st.lists(st.dates(date(1900, 1, 1), date(2100, 12, 31)), min_size=1))
def test_every_date_survives_its_digits(dates: list[date]) -> None:
    numbers = [day.year * 10_000 + day.month * 100 + day.day for day in dates]
    times, reasons = parsed(numbers)
    assert not reasons
    assert [time and time.date() for time in times] == dates


@given(st.lists(st.datetimes(datetime(1995, 1, 1), datetime(2060, 1, 1)), min_size=3), st.sampled_from([3, 6, 9]))
def test_no_time_of_one_unit_is_taken_for_another(times: list[datetime], digits: int) -> None:
    epoch = datetime(1970, 1, 1)
    numbers = [(time - epoch) // timedelta(seconds=1) * 10**digits for time in times]
    assert unit_of(pl.Series(numbers)).name != "seconds"
    assert cells_of_other_units(pl.Series(numbers)) == []
