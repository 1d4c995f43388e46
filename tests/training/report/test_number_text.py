from __future__ import annotations

import math

import pytest

from training.fitting.position_effects import PositionEffect
from training.report.number_text import (
    day_text,
    duration_text,
    fact_text,
    figure_text,
    interval_text,
    minute_text,
    positions_text,
    signed_text,
    time_text,
)


def test_a_metric_has_three_digits_and_an_undefined_one_is_a_dash() -> None:
    assert [figure_text(0.12345), figure_text(math.nan)] == ["0.123", "\N{EN DASH}"]


def test_a_difference_has_a_sign_and_a_true_minus() -> None:
    assert [signed_text(0.1), signed_text(-0.1, 2), signed_text(math.nan)] == [
        "+0.100",
        "\N{MINUS SIGN}0.10",
        "\N{EN DASH}",
    ]


def test_an_unknown_interval_is_put_in_words() -> None:
    assert interval_text((-0.1, 0.2)) == "\N{MINUS SIGN}0.100 to +0.200"
    assert interval_text((-1.0, 1.0)) == "too few users"


@pytest.mark.parametrize(("value", "text"), [(22447, "22,447"), (0.5, "0.5"), (True, "True"), ("1000", "1000")])
def test_only_whole_numbers_get_separators_of_thousands(value: str | int | float, text: str) -> None:
    assert fact_text(value) == text


def test_a_time_is_written_without_the_t() -> None:
    assert time_text("2025-08-09T12:30:00+00:00") == "2025-08-09 12:30:00 UTC"
    assert time_text("2025-08-09") == "2025-08-09"


@pytest.mark.parametrize(
    ("iso", "text"),
    [
        ("2025-08-09T00:00:00+00:00", "2025-08-09"),
        ("2025-08-09T12:30:59+00:00", "2025-08-09 12:30 UTC"),
        ("2025-08-09", "2025-08-09"),
        ("2025-08-09T12:30:00", "2025-08-09 12:30"),
    ],
)
def test_times_are_written_to_the_minute_and_midnight_as_a_date(iso: str, text: str) -> None:
    assert minute_text(iso) == text


@pytest.mark.parametrize("iso", ["2025-08-09T12:30:59+00:00", "2025-08-09"])
def test_the_day_of_a_time_is_its_date(iso: str) -> None:
    assert day_text(iso) == "2025-08-09"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (252.4, "4 min 12 s"),
        (3600, "1 h 0 min"),
        (7530, "2 h 5 min"),
    ],
)
def test_durations_have_their_two_largest_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_positions_that_count_as_one_are_a_range() -> None:
    groups = [PositionEffect(first, last, 9, 1, 0.0) for first, last in ((3, 3), (5, 9), (None, None))]
    assert [positions_text(each) for each in groups] == ["3", "5 to 9", "unknown"]
