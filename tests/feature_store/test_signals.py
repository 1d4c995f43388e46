from __future__ import annotations

import polars as pl
import pytest

from feature_store import SignalConfig


@pytest.mark.parametrize(
    ("kind", "value", "sign"),
    [
        ("rating", 4.0, 1),
        ("rating", 3.9, 0),
        ("rating", 2.1, 0),
        ("rating", 2.0, -1),
        ("rating", None, 0),
        ("skip", None, -1),
        ("return", 5.0, -1),
        ("purchase", 1.0, 1),
        ("view", None, 0),
        (None, None, 1),
        (None, 1.0, -1),
        (None, 3.0, 0),
        (None, 5.0, 1),
        ("", 1.0, 1),
    ],
)
def test_events_are_positive_neutral_or_negative(kind: str | None, value: float | None, sign: int) -> None:
    frame = pl.DataFrame({"event": [kind], "value": [value]}, schema={"event": pl.String, "value": pl.Float64})
    assert SignalConfig(neutral_events=("view",)).signs(frame).tolist() == [sign]


def test_a_value_without_an_event_is_no_rating_where_no_event_is_one() -> None:
    frame = pl.DataFrame({"event": [None], "value": [1.0]}, schema={"event": pl.String, "value": pl.Float64})
    assert SignalConfig(rating_events=()).signs(frame).tolist() == [1]


def test_a_rating_cannot_be_both_positive_and_negative() -> None:
    with pytest.raises(ValueError, match=r"negative_to: expected less than positive_from \(3.0\), got 3.0\. Leave"):
        SignalConfig(positive_from=3.0, negative_to=3.0)
