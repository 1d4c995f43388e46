from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.timestamps import TIMESTAMP, iso_time, parse_timestamps

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
NOON_EPOCH_S = 1_709_208_000


def parsed(cells: list[Any], dtype: Any = None) -> list[datetime | None]:
    times, _ = parse_timestamps(pl.Series("timestamp", cells, dtype=dtype))
    assert times.dtype == TIMESTAMP
    return times.to_list()


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-29T12:00:00Z",
        "2024-02-29T12:00:00z",
        "2024-02-29 12:00:00",
        "2024-02-29 12:00:00 UTC",
        "2024-02-29 12:00",
        "2024-02-29T14:00:00+02:00",
        "2024-02-29T14:00:00+0200",
        "2024-02-29T14:00:00+02",
        "2024-02-29T06:30:00-05:30",
        "2024-02-29T12:00:00.000000",
        "2024-02-29T12:00:00,000+00:00",
        " 2024-02-29T12:00:00Z ",
    ],
)
def test_iso_text_with_and_without_a_zone_is_read(text: str) -> None:
    assert parsed([text]) == [NOON]


@pytest.mark.parametrize("text", ["2024-02-29 9:05", "2024-02-29T9:05:00Z", "2024-02-29 11:05:00+02:00"])
def test_the_hour_may_have_one_digit(text: str) -> None:
    assert parsed([text]) == [NOON - timedelta(hours=2, minutes=55)]


@pytest.mark.parametrize(
    "text",
    [
        "2024/02/29 12:00:00",
        "2024/2/29 12:00",
        "2024/02/29T12:00:00.000Z",
        "2024/02/29 14:00+02:00",
        "20240229T120000Z",
        "20240229T1200",
        "20240229T140000+0200",
        "20240229t120000,000",
        " 20240229T070000-05 ",
    ],
)
def test_dates_with_slashes_and_the_year_first_and_times_without_separators_are_read(text: str) -> None:
    assert parsed([text, "2024-02-29T12:00:00Z"]) == [NOON, NOON]


def test_a_date_with_slashes_is_its_midnight() -> None:
    assert parsed(["2024/02/29", "2024/2/9", "2024/10/9"]) == [
        datetime(2024, 2, 29, tzinfo=UTC),
        datetime(2024, 2, 9, tzinfo=UTC),
        datetime(2024, 10, 9, tzinfo=UTC),
    ]


@pytest.mark.parametrize(
    "text", ["2024/02-29", "2024/02/29/12", "20240229T12", "20240229 120000", "20240229T120000000"]
)
def test_a_form_that_is_half_one_and_half_another_is_no_time(text: str) -> None:
    assert parsed(["2024-02-29", text])[1] is None


def test_digits_among_times_with_slashes_stay_what_they_were_among_iso_times() -> None:
    for times in (["2024/02/29", "2024/03/01"], ["2024-02-29", "2024-03-01"]):
        assert parsed([*times, "20240302"])[2] is None
    # Digits alone are dates, also as text.
    assert parsed(["20240229", "20240301"])[0] == datetime(2024, 2, 29, tzinfo=UTC)


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical])
def test_the_error_for_a_year_that_cannot_be_stored_names_the_years(dtype: type[pl.DataType]) -> None:
    cells = ["2024-02-29", "9999-12-31", "0001-01-01T00:00:00Z", "soon", None]
    times, faults = parse_timestamps(pl.Series("timestamp", cells).cast(dtype))
    assert times.is_null().to_list() == [False, True, True, True, True]
    assert [(fault.got, fault.example) for fault in faults] == [
        ("a number or date outside the years 1678 to 2261", "'9999-12-31'"),
        ("text that is not an ISO time", "'soon'"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "20240229",
        "1709208000",
        "2024-02-29T12:00:00+2",
    ],
)
def test_text_that_is_not_an_iso_time_is_a_fault(text: str) -> None:
    times, faults = parse_timestamps(pl.Series("timestamp", ["2024-02-29", text]))
    assert times.null_count() == 1
    assert [fault.reason for fault in faults] == ["timestamp: expected a time, got text that is not an ISO time"]
    assert faults[0].rows is not None
    assert faults[0].rows.to_list() == [False, True]


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("2026-02-31", "a date that does not exist"),
        ("2026-13-01", "a date that does not exist"),
        (" 2026-00-10T10:00Z ", "a date that does not exist"),
        ("2026/2/31 10:00", "a date that does not exist"),
        ("20260231T100000Z", "a date that does not exist"),
        ("20260228T250000Z", "a time of day or a zone that does not exist"),
        ("3026/02/28", "a number or date outside the years 1678 to 2261"),
        ("30260228T100000Z", "a number or date outside the years 1678 to 2261"),
        ("2024-02-29T25:00", "a time of day or a zone that does not exist"),
        ("2024-02-29 23:60", "a time of day or a zone that does not exist"),
        ("2024-02-29T12:00+25:00", "a time of day or a zone that does not exist"),
        ("24:30", "a time of day without a date"),
        ("9:05:00", "a time of day without a date"),
    ],
)
def test_a_date_or_a_time_of_day_that_does_not_exist_has_a_reason_of_its_own(text: str, got: str) -> None:
    times, (fault,) = parse_timestamps(pl.Series("timestamp", ["2024-02-29", text, None]))
    assert times.is_null().to_list() == [False, True, True]
    assert (fault.reason, fault.example) == (f"timestamp: expected a time, got {got}", repr(text))


@pytest.mark.parametrize("dtype", [pl.String, pl.Int64])
def test_a_date_in_digits_that_does_not_exist_has_a_reason_of_its_own(dtype: pl.DataType) -> None:
    cells = pl.Series("timestamp", [20260131] * 20 + [20260231]).cast(dtype)
    times, (fault,) = parse_timestamps(cells)
    assert times.null_count() == 1
    assert fault.reason == "timestamp: expected a time, got a date that does not exist"


def test_each_cell_is_parsed_by_itself_whatever_the_form_of_the_others() -> None:
    texts = ["2024-02-29", "2024-02-29T12:00:00.250Z", "2024-02-29 14:00+02:00", None]
    assert parsed(texts) == [cell for text in texts for cell in parsed([text], pl.String)]


def test_a_fraction_keeps_its_microseconds() -> None:
    assert parsed(["2024-02-29T12:00:00.123456789"]) == [NOON + timedelta(microseconds=123_456)]


@pytest.mark.parametrize(
    ("cell", "dtype"),
    [
        (NOON, pl.Datetime("us", "UTC")),
        (NOON.replace(tzinfo=None), pl.Datetime("ms")),
        (NOON.replace(tzinfo=None), pl.Datetime("ns")),
        (NOON.astimezone(timezone(timedelta(hours=-5))), pl.Datetime("us", "America/New_York")),
        ("2024-02-29T12:00:00", pl.Categorical),
        (NOON_EPOCH_S, pl.Int64),
        (NOON_EPOCH_S, pl.UInt32),
        (float(NOON_EPOCH_S), pl.Float64),
        (NOON_EPOCH_S * 10**3, pl.Int64),
        (NOON_EPOCH_S * 10**6, pl.UInt64),
        (NOON_EPOCH_S * 10**9, pl.Int64),
        (NOON_EPOCH_S * 1e3, pl.Float64),
    ],
)
def test_every_form_of_a_time_gives_the_same_microsecond(cell: Any, dtype: Any) -> None:
    assert parsed([cell, None], dtype) == [NOON, None]


def test_a_date_is_its_midnight_in_utc() -> None:
    assert parsed([date(2024, 2, 29)]) == [datetime(2024, 2, 29, tzinfo=UTC)]


def test_a_fraction_of_an_epoch_second_is_kept() -> None:
    assert parsed([NOON_EPOCH_S + 0.25]) == [NOON + timedelta(milliseconds=250)]


@pytest.mark.parametrize("corrupt", [10**18, -(10**18), 10**15])
def test_one_corrupt_epoch_cell_does_not_change_the_unit_of_the_others(corrupt: int) -> None:
    assert parsed([NOON_EPOCH_S, corrupt, NOON_EPOCH_S]) == [NOON, None, NOON]


def test_nan_and_infinity_are_not_times() -> None:
    times, faults = parse_timestamps(pl.Series("timestamp", [float("nan"), float("inf"), float(NOON_EPOCH_S), None]))
    assert times.to_list() == [None, None, NOON, None]
    assert faults[0].rows is not None
    assert faults[0].rows.to_list() == [True, True, False, False]


def test_years_that_nanoseconds_cannot_hold_are_faults() -> None:
    cells = [datetime(2261, 12, 31), datetime(2262, 1, 1), datetime(1677, 12, 31), datetime(1678, 1, 1)]
    assert [time is None for time in parsed(cells)] == [False, True, True, False]


@pytest.mark.parametrize("dtype", [pl.Date, pl.Datetime("ms"), pl.Datetime("ms", "Europe/Paris"), pl.Datetime("us")])
def test_dates_that_microseconds_cannot_hold_are_faults_of_their_cells(dtype: Any) -> None:
    far = 2**31 - 1 if dtype == pl.Date else 2**62
    near = 19_782 if dtype == pl.Date else 19_782 * 86_400_000
    times, faults = parse_timestamps(pl.Series("timestamp", [far, near, -far, None]).cast(dtype))
    assert times.is_null().to_list() == [True, False, True, True]
    assert [fault.rows.to_list() for fault in faults if fault.rows is not None] == [[True, False, True, False]]


@pytest.mark.parametrize("dtype", [pl.Boolean, pl.Duration, pl.Time, pl.Object, pl.List(pl.Int64)])
def test_a_column_that_cannot_be_times_is_refused_as_a_whole(dtype: Any) -> None:
    _, faults = parse_timestamps(pl.Series("timestamp", [None], dtype=dtype))
    assert [fault.rows for fault in faults] == [None]


@given(
    st.lists(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)), min_size=1),
    st.sampled_from([(1, 10**6), (10**3, 10**3), (10**6, 1)]),
)
def test_epoch_numbers_of_any_unit_are_read_as_the_times_they_were_made_from(
    times: list[datetime], unit: tuple[int, int]
) -> None:
    per_second, microseconds = unit
    exact = [time.replace(microsecond=time.microsecond // microseconds * microseconds, tzinfo=UTC) for time in times]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    numbers = [(time - epoch) // timedelta(microseconds=microseconds) for time in exact]
    assert parsed(numbers, pl.Int64) == exact
    assert per_second * microseconds == 10**6


@given(st.lists(st.datetimes(datetime(1678, 1, 1), datetime(2261, 12, 31)), min_size=1), st.integers(-14 * 60, 14 * 60))
def test_iso_text_is_read_as_the_time_it_was_written_from(times: list[datetime], offset_min: int) -> None:
    zone = timezone(timedelta(minutes=offset_min))
    aware = [time.replace(tzinfo=UTC) for time in times if 1678 < time.year < 2261]
    assert parsed([time.astimezone(zone).isoformat() for time in aware], pl.String) == aware


def test_iso_text_of_a_time_is_in_utc() -> None:
    assert iso_time(0) == "1970-01-01T00:00:00+00:00"
    assert iso_time(-1) == "1969-12-31T23:59:59.999999+00:00"
    assert iso_time(NOON_EPOCH_S * 1_000_000) == NOON.isoformat()


def test_epoch_numbers_in_text_are_times_and_a_cell_among_them_that_is_none_is_a_fault() -> None:
    times, faults = parse_timestamps(pl.Series("timestamp", ["1600000000", " 1600000001", "N/A", None]))
    assert times.to_list() == parsed([1_600_000_000, 1_600_000_001, None, None])
    assert faults[0].rows is not None
    assert faults[0].rows.to_list() == [False, False, True, False]


def test_nanoseconds_in_text_stay_exact_and_fractions_are_kept() -> None:
    assert parsed(["1600000000123456789"]) == parsed([1_600_000_000_123_456_789])
    assert parsed(["1600000000.25", "1.6e9"]) == parsed([1_600_000_000.25, 1.6e9])


def test_iso_times_among_more_epoch_numbers_in_text_are_times_too() -> None:
    times = parsed(["1600000000", "1600000001", "2024-02-29"])
    assert times[2] == parsed(["2024-02-29"])[0]
    assert None not in times


@pytest.mark.parametrize("text", ["01/03/2026", "1.3.2026 10:00", "13-04-26", "29/02/2024, 10:00"])
def test_the_error_for_a_date_with_the_year_last_says_why_it_is_refused(text: str) -> None:
    times, (fault,) = parse_timestamps(pl.Series("timestamp", ["2024-02-29", text]))
    assert times.null_count() == 1
    assert "does not begin with the year, so that day and month could be swapped" in fault.reason
