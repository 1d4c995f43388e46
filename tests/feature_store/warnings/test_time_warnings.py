"""Times that look wrong get a warning in the receipt, with an example; usual times do not."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import small_training
from feature_store import EVENTS, ITEMS, Store
from feature_store.files.table_files import read_table
from feature_store.table_checks import check_table
from feature_store.timestamps import wall_clock

N = 60
BEGIN = datetime(2022, 3, 1, tzinfo=UTC)
EPOCHS = [int((BEGIN + timedelta(hours=31 * n)).timestamp()) for n in range(N)]


def warnings(timestamp: Any, dtype: Any = None, **columns: Any) -> list[str]:
    cells = pl.Series("timestamp", timestamp, dtype=dtype)
    frame = pl.DataFrame({"user_id": ["u"] * len(cells), "item_id": ["i"] * len(cells), "timestamp": cells, **columns})
    return list(check_table(frame, EVENTS).warnings)


def changed(**cells: int) -> list[int]:
    return EPOCHS[: N - len(cells)] + list(cells.values())


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_a_usual_log_has_no_warning(unit: int) -> None:
    assert warnings([epoch * unit for epoch in EPOCHS]) == []
    texts = [datetime.fromtimestamp(epoch, UTC).isoformat() for epoch in EPOCHS]
    assert warnings(texts) == []


def test_logs_that_grow_or_pause_have_no_warning() -> None:
    generator = random.Random(0)
    growing = [int(EPOCHS[0] + 10**8 * generator.random() ** 0.2) for _ in range(400)]
    assert warnings(growing) == []
    assert warnings(EPOCHS + [epoch + 20 * 86_400 for epoch in EPOCHS]) == []
    assert warnings(small_training.events()["timestamp"].dt.offset_by("-4y")) == []


def test_dates_in_digits_get_a_warning_with_an_example() -> None:
    (warning,) = warnings([20220300 + 1 + n % 28 for n in range(N)])
    assert "such as 20220301, were read as dates in digits (YYYYMMDD): 2022-03-01" in warning


def test_floats_rounded_to_the_same_time_get_a_warning() -> None:
    (warning,) = warnings([float(EPOCHS[0] + 10 * n) for n in range(N)], pl.Float32)
    assert warning.startswith("timestamp: 32-bit floats cannot hold these numbers")
    assert "60 rows have 6 distinct times" in warning


@pytest.mark.parametrize(
    ("stray", "hint"), [(0, "missing time"), (-1, "missing time"), (86_400 * 400, "check their unit")]
)
def test_times_before_1990_get_a_warning_with_the_row(stray: int, hint: str) -> None:
    (warning,) = warnings(changed(last=stray))
    assert "timestamp: 1 of 60 rows lie before 1990, e.g. row 59: 19" in warning
    assert f"read from {stray}" in warning
    assert hint in warning


def test_numbers_that_count_from_0_are_not_taken_for_missing_times() -> None:
    (warning,) = warnings(list(range(N)))
    assert "60 of 60 rows lie before 1990" in warning
    assert "check their unit" in warning


def test_the_warning_about_days_since_1900_names_days() -> None:
    (warning,) = warnings([44_600 + n for n in range(N)])
    assert "60 of 60 rows lie before 1990" in warning
    assert "days since 1900 or 1970" in warning


@pytest.mark.parametrize("year", [2009, 2012])
def test_a_few_times_years_from_the_rest_get_a_warning(year: int) -> None:
    (warning,) = warnings(changed(first=int(datetime(year, 1, 1, tzinfo=UTC).timestamp()), last=EPOCHS[0]))
    assert "1 of 60 rows lie far from the others, which lie between 2022-03-01 and 2022-05-1" in warning
    assert f"e.g. row 58: {year}-01-01T00:00:00+00:00" in warning


def test_times_in_the_future_get_a_warning_in_events_and_not_in_items() -> None:
    (warning,) = warnings(changed(last=4_070_908_800))
    assert "1 of 60 rows lie after the present, e.g. row 59: 2099-01-01T00:00:00+00:00" in warning
    soon = datetime.fromtimestamp(wall_clock() / 1e6 + 86_400 * 90, UTC)
    items = pl.DataFrame({"item_id": ["a"], "title": ["b"], "available_from": [soon]})
    assert check_table(items, ITEMS).warnings == ()
    assert "available_at: 1 of 1 rows lie after" in warnings([EPOCHS[0]], available_at=[soon])[0]


def test_one_time_for_all_rows_gets_a_warning_and_a_basket_does_not() -> None:
    (warning,) = warnings([EPOCHS[0]] * N)
    assert "all 60 rows have the time 2022-03-01T00:00:00+00:00" in warning
    assert warnings([EPOCHS[0]] * 5) == []


def test_only_times_that_could_be_read_count_among_those_of_one_time() -> None:
    assert warnings([EPOCHS[0]] * 19 + [None] * 41) == []
    (warning,) = warnings(["2022-03-01"] * 20 + ["soon"] * 40)
    assert "all 20 rows whose time could be read have the time 2022-03-01T00:00:00+00:00" in warning


def test_one_arrival_after_all_events_gets_a_warning_that_it_hides_them() -> None:
    (warning,) = warnings(EPOCHS, available_at=[EPOCHS[-1] + 86_400] * N)
    assert warning.startswith("available_at: 60 of 60 rows arrived at 2022-05-")
    assert "unknown to every query before that time" in warning


def test_usual_arrivals_have_no_warning() -> None:
    assert warnings(EPOCHS, available_at=[EPOCHS[0]] * N) == []
    assert warnings(EPOCHS, available_at=[time + 60 for time in EPOCHS]) == []
    nightly = [EPOCHS[0] + 60 * n for n in range(N)]
    assert warnings(nightly, available_at=[EPOCHS[0] + 86_400] * N) == []
    assert warnings(EPOCHS, available_at=[None] * (N - 25) + [EPOCHS[-1] + 60] * 25) == []


def test_receipts_carry_the_warnings(tmp_path: Path) -> None:
    frame = pl.DataFrame({"user_id": ["u"] * N, "item_id": ["i"] * N, "timestamp": changed(last=0)})
    receipt = Store.create(tmp_path / "store").append_events(frame)
    assert receipt.n_new == N
    assert "  Warning: timestamp: 1 of 60 rows lie before 1990" in str(receipt)


def test_warnings_about_a_file_with_lines_name_the_line(tmp_path: Path) -> None:
    rows = "".join(f"u,i{number},{epoch}\n" for number, epoch in enumerate(changed(last=0)))
    (tmp_path / "events.csv").write_text(f"user_id,item_id,timestamp\n{rows}")
    receipt = Store.create(tmp_path / "store").append(EVENTS, read_table(str(tmp_path / "events.csv"), table="events"))
    (warning,) = receipt.warnings
    assert "1 of 60 rows lie before 1990, e.g. line 61: 1970-01-01T00:00:00+00:00, read from " in warning
    assert "counting from 0" not in warning
