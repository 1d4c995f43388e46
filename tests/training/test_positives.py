"""A log without positives is refused with its ratings or event names, and thresholds that would suit."""

from __future__ import annotations

import polars as pl
import pytest

from feature_store import DataError, SignalConfig
from training.positives import refuse_without_positives, suggested_thresholds


def events(names: list[str | None], values: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame({"event": names, "value": values}, schema={"event": pl.String, "value": pl.Float64})


def test_ratings_below_the_threshold_are_told_with_thresholds_that_suit_them() -> None:
    with pytest.raises(
        DataError,
        match=r"events\.value: expected ratings of at least 4 \(positive_from\), got 0 to 1 in 3 rows\..* "
        r"\(--positive-from 0\.75 --negative-to 0\.25\)\.",
    ):
        refuse_without_positives(events(["rating"] * 3 + ["skip"], [0.0, 0.5, 1.0, None]), SignalConfig())


def test_event_names_that_are_all_negative_are_told() -> None:
    with pytest.raises(DataError, match=r"events\.event: expected events that are positive, got only skip \(2 rows\)"):
        refuse_without_positives(events(["skip", "skip", "hide"], [None, None, None]), SignalConfig())


def test_ratings_without_values_are_told_by_their_name() -> None:
    with pytest.raises(DataError, match=r"got only rating \(2 rows\).*rating needs a value"):
        refuse_without_positives(events(["rating", "rating"], [None, None]), SignalConfig())


def test_thresholds_are_the_upper_and_lower_quarter_of_the_range() -> None:
    assert suggested_thresholds(1, 5) == (4, 2)
    assert suggested_thresholds(-1, 1) == (0.5, -0.5)
    positive, negative = suggested_thresholds(1, 1)
    assert negative < positive == 1
