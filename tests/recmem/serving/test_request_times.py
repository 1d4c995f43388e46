"""Times that a caller asks for: of every form, absent, far away, and what is no time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from debian_model import SCORES, same_scores, trained_model
from feature_store import DataError
from recmem.serving.model import Model
from tolerances import close


def test_without_a_time_the_clock_just_after_the_newest_event_counts(model: Model, candidates: pl.DataFrame) -> None:
    newest = trained_model().events.select(pl.max_horizontal("timestamp", "available_at").max()).item()
    ids = candidates.select("user_id", "item_id")
    absent = model.rank(ids)
    for time in (newest + timedelta(microseconds=1), newest + timedelta(microseconds=1, days=0)):
        explicit = model.rank(ids.with_columns(timestamp=pl.lit(time)))
        assert explicit.select(SCORES).equals(absent.select(SCORES))
    null = model.rank(ids.with_columns(timestamp=pl.lit(None)))
    assert null.select(SCORES).equals(absent.select(SCORES))
    assert absent["similarity_max"].max() > 0.5  # type: ignore[operator]


def test_a_null_time_in_single_rows_is_the_clock(model: Model, candidates: pl.DataFrame) -> None:
    some = candidates.with_columns(timestamp=pl.when(pl.int_range(pl.len()) % 2 == 0).then("timestamp"))
    scored = model.rank(some)
    null = pl.col("timestamp").is_null()
    same_scores(scored.filter(null), model.rank(some.filter(null)))
    assert scored.filter(null)["timestamp"].null_count() == some["timestamp"].null_count() > 0


def test_times_of_any_form_name_the_same_time(model: Model, candidates: pl.DataFrame) -> None:
    zoned = candidates.with_columns(pl.col("timestamp").dt.cast_time_unit("us"))
    expected = model.rank(zoned).select(SCORES)
    forms = {
        "naive": pl.col("timestamp").dt.replace_time_zone(None),
        "another zone": pl.col("timestamp").dt.convert_time_zone("Asia/Tokyo"),
        "text": pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
        "epoch": pl.col("timestamp").dt.epoch("s"),
    }
    for name, form in forms.items():
        given = zoned.with_columns(form)
        scored = model.rank(given)
        assert scored.select(SCORES).equals(expected), name
        assert scored["timestamp"].equals(given["timestamp"])


def test_far_future_and_far_past_are_scored(model: Model, candidates: pl.DataFrame) -> None:
    ids = candidates.select("user_id", "item_id")
    future = model.rank(ids.with_columns(timestamp=pl.lit(datetime(2200, 1, 1, tzinfo=UTC))))
    close(future["match_raw"].to_numpy(), model.rank(ids)["match_raw"].to_numpy(), "exact")
    past = model.rank(ids.with_columns(timestamp=pl.lit(datetime(1700, 1, 1, tzinfo=UTC))))
    assert past["similarity_max"].max() == 0
    assert past.select(pl.col(SCORES).is_finite().all()).row(0) == (True,) * len(SCORES)


# One time


NEW_YEAR_S = 1_924_992_000
"""2031."""


@pytest.mark.parametrize(
    "time",
    [
        np.datetime64("2031-01-01"),
        np.datetime64("2031", "Y"),
        np.datetime64("2031-01-01T00:00", "ns"),
        pd.Timestamp("2031-01-01"),
        pd.Timestamp("2031-01-01T05:30", tz="Asia/Kolkata"),
        datetime(2031, 1, 1, 5, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        date(2031, 1, 1),
        "2031-01-01",
        NEW_YEAR_S,
        float(NEW_YEAR_S),
        np.int64(NEW_YEAR_S * 1000),
        np.float64(NEW_YEAR_S),
        Decimal(NEW_YEAR_S),
        20310101,
    ],
)
def test_one_time_of_every_form_is_read(model: Model, time: Any) -> None:
    assert model.memory("curl", timestamp=time).equals(model.memory("curl", timestamp=datetime(2031, 1, 1)))
    assert model.recommend(["curl"], k=2, timestamp=time).equals(
        model.recommend(["curl"], k=2, timestamp=datetime(2031, 1, 1))
    )


@pytest.mark.parametrize(
    "time",
    [
        "yesterday",
        float("nan"),
        [1],
        object(),
        pd.NaT,
        pd.NA,
        np.datetime64("NaT"),
        np.datetime64("300000-01-01"),
        timedelta(days=1),
        True,
        2**200,
        datetime(9999, 1, 1),
    ],
)
def test_what_is_no_time_is_refused_in_words(model: Model, time: Any) -> None:
    with pytest.raises(DataError, match="timestamp: expected a time, got"):
        model.memory("curl", timestamp=time)


@pytest.mark.parametrize("time", [0, -1, 1_700_000, "1970-01-01"])
def test_one_time_before_1990_is_read_and_logged(model: Model, caplog: pytest.LogCaptureFixture, time: Any) -> None:
    assert model.memory("bash", timestamp=time).is_empty()
    assert f"read from {time!r}, lies before 1990" in caplog.text
    caplog.clear()
    model.memory("bash", timestamp="2024-01-01")
    assert caplog.text == ""


# A column of times


@pytest.mark.parametrize(
    ("cells", "dtype", "words"),
    [
        (20270101, pl.Int64, "read as dates in digits"),
        (1_700_000, pl.Int64, "12 of 12 rows lie before 1990"),
        (1.7e9, pl.Float32, "32-bit floats cannot hold"),
        (1_700_000_000, pl.Int64, ""),
    ],
)
def test_timestamps_of_candidates_that_look_wrong_are_logged(
    model: Model, candidates: pl.DataFrame, caplog: pytest.LogCaptureFixture, cells: float, dtype: Any, words: str
) -> None:
    model.match(candidates.head(12).with_columns(timestamp=pl.lit(cells, dtype)))
    assert caplog.text.count("candidates.timestamp") == (1 if words else 0)
    assert words in caplog.text
