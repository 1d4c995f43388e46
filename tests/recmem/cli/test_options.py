"""Times on the command line: ISO 8601 or epoch seconds, and wrong use for anything else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from recmem.cli.error_handling import UsageError
from recmem.cli.options import names_of, parse_time


@pytest.mark.parametrize("text", ["2026-01-31T12:00", "2026-01-31 12:00:00Z", "2026-01-31T13:00+01:00", "1769860800"])
def test_a_time_is_read_as_iso_8601_or_epoch_seconds(text: str) -> None:
    assert parse_time(text, option="--timestamp") == datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["20260131", "202601310000", "20260131000000"])
def test_a_date_in_digits_is_that_date_and_not_a_second_of_1970(text: str) -> None:
    assert parse_time(text, option="--timestamp") == datetime(2026, 1, 31, tzinfo=UTC)


def test_no_time_is_none() -> None:
    assert parse_time(None, option="--timestamp") is None


@pytest.mark.parametrize("text", ["yesterday", "nan", ""])
def test_other_text_is_wrong_use_and_names_the_option(text: str) -> None:
    with pytest.raises(UsageError, match=f"--answers-from: expected ISO 8601 or epoch seconds, got '{text}'"):
        parse_time(text, option="--answers-from")


def test_names_are_split_at_commas_without_spaces_around_them() -> None:
    assert names_of("view, add to cart ,,") == ("view", "add to cart")
    assert names_of("") == ()
