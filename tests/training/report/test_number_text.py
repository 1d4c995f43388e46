from __future__ import annotations

import math

import pytest

from training.report.number_text import fact_text, figure_text, interval_text, signed_text, time_text


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
