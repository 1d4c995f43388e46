"""The log clock: the end of the log, whatever a few wrong dates in the future say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_store.point_in_time.log_clock import YEAR_US, clock_step, log_clock
from feature_store.schema import EVENTS
from feature_store.table_checks import check_table
from feature_store.timestamps import DAY_US, wall_clock
from five_item_dataset import CONFIG, catalogue
from recmem.dataset.dataset import Dataset
from strategies import impression_frame

NOW = wall_clock()
PAST = [NOW - day * DAY_US for day in range(90)]
IN_2099 = 4_070_908_800_000_000


def clock(times: list[int]) -> int:
    return log_clock(max(times, default=0), np.array(times[::2], np.int64), np.array(times[1::2], np.int64))


@pytest.mark.parametrize("wrong", [[IN_2099], [IN_2099, IN_2099 + YEAR_US], [NOW + 2 * YEAR_US] * 5])
def test_a_few_dates_far_ahead_do_not_move_the_clock(wrong: list[int]) -> None:
    assert clock(PAST + wrong) == NOW
    assert clock(wrong[:1] + PAST[:3]) == NOW


def test_dates_ahead_that_the_log_reaches_move_it() -> None:
    simulated = [NOW + day * DAY_US * 20 for day in range(100)]
    assert clock(simulated) == simulated[-1]
    assert clock([*PAST, NOW + 200 * DAY_US]) == NOW + 200 * DAY_US
    assert clock([IN_2099]) == IN_2099
    long_log = [NOW - year * YEAR_US for year in range(12)] * 20
    assert clock([*long_log, NOW + 5 * YEAR_US]) == NOW + 5 * YEAR_US


def test_a_first_event_after_a_long_pause_moves_it_if_it_has_happened() -> None:
    old = [NOW - 20 * YEAR_US - hour for hour in range(50)]
    assert clock([*old, NOW]) == NOW


@given(st.lists(st.integers(0, NOW), max_size=30))
def test_without_dates_ahead_the_clock_is_the_last_change(times: list[int]) -> None:
    assert clock(times) == max(times, default=0)


def test_one_event_moves_a_clock_by_no_more_than_the_log_is_long() -> None:
    latest, step = clock_step(np.array(sorted(PAST)))
    assert NOW < latest < NOW + 2 * DAY_US
    assert step == YEAR_US
    assert clock_step(np.empty(0, np.int64))[1] == YEAR_US


# In a dataset


def dataset(rows: list[dict[str, Any]]) -> Dataset:
    return Dataset.of(catalogue(), checked(rows), impression_frame([]), CONFIG)


def checked(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return check_table(pl.DataFrame(rows), EVENTS).kept


def log_rows() -> Iterator[dict[str, Any]]:
    for day in range(30):
        time = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)
        yield {
            "user_id": f"user{day % 3}",
            "item_id": f"i{day % 5}",
            "timestamp": time,
            "event_id": f"e{day}",
            "cancels": None,
        }


@pytest.mark.parametrize("column", ["timestamp", "available_at", "cancels"])
def test_loaded_and_observed_logs_keep_their_clock_whatever_is_dated_2099(column: str) -> None:
    rows = [{**row, "available_at": None} for row in log_rows()]
    wrong = {**rows[3], "event_id": None if column == "cancels" else "new"}
    if column == "cancels":
        wrong["cancels"] = "e3"
    wrong["timestamp" if column == "cancels" else column] = datetime(2099, 1, 1, tzinfo=UTC)
    expected = dataset(rows).clock
    assert dataset([*rows, wrong]).clock == expected
    assert dataset(rows).with_events(checked([wrong])).clock == expected
    later = {**rows[3], "event_id": "later", "timestamp": datetime(2024, 3, 1, tzinfo=UTC)}
    moved = dataset(rows).with_events(checked([wrong])).with_events(checked([later]))
    assert moved.clock == dataset([*rows, wrong, later]).clock == dataset([*rows, later]).clock
    assert moved.clock > expected
