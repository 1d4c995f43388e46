"""Ratings off the scale of the thresholds, and values and events whose names are not read as meant."""

from __future__ import annotations

import polars as pl
import pytest

from feature_store import DataError, SignalConfig
from feature_store.warnings.rating_scale import check_positives, rating_warnings, unread_ratings

N = 40


def rated(values: list[float | None], event: str | None = "rating") -> pl.DataFrame:
    return pl.DataFrame(
        {"event": [event] * len(values), "value": values}, schema={"event": pl.String, "value": pl.Float64}
    )


def scale(*values: float) -> list[float | None]:
    return [values[n % len(values)] for n in range(N)]


@pytest.mark.parametrize(
    ("values", "finding", "suggested"),
    [
        ((0, 1), "between 0 and 1, and none is positive", "--positive-from 1 --negative-to 0"),
        ((-1, 0, 1), "between -1 and 1, and none is positive", "--positive-from 1 --negative-to -1"),
        ((1, 2, 3), "between 1 and 3, and none is positive", "--positive-from 3 --negative-to 1"),
        (
            (0.1, 0.2, 0.5, 0.8, 0.9),
            "between 0.1 and 0.9, and none is positive",
            "--positive-from 0.8 --negative-to 0.2",
        ),
        ((20, 50, 80, 100), "between 20 and 100, and all are positive", "--positive-from 80 --negative-to 20"),
        (
            (0, 10, 50, 90, 100),
            "between 0 and 100, and 32 are positive, low ones too",
            "--positive-from 90 --negative-to 10",
        ),
        (
            tuple(range(1, 11)),
            "between 1 and 10, and 28 are positive, low ones too",
            "--positive-from 8 --negative-to 3",
        ),
    ],
)
def test_ratings_of_another_scale_get_a_warning_with_thresholds_that_fit(
    values: tuple[float, ...], finding: str, suggested: str
) -> None:
    (warning,) = rating_warnings(rated(scale(*values)), SignalConfig())
    assert finding in warning
    assert suggested in warning


@pytest.mark.parametrize("values", [(1, 2, 3, 4, 5), (0.5, 3.5, 4.5, 5), (3, 5)])
def test_ratings_of_the_usual_scale_are_not(values: tuple[float, ...]) -> None:
    assert rating_warnings(rated(scale(*values)), SignalConfig()) == []


def test_the_suggested_thresholds_end_the_warning() -> None:
    assert rating_warnings(rated(scale(0, 1)), SignalConfig(positive_from=1, negative_to=0)) == []
    assert rating_warnings(rated(scale(0, 50, 100)), SignalConfig(positive_from=75, negative_to=25)) == []


def test_a_few_ratings_say_nothing_of_the_scale() -> None:
    assert rating_warnings(rated([5.0, 5.0]), SignalConfig()) == []


def test_values_without_an_event_are_ratings_with_a_warning() -> None:
    (warning,) = rating_warnings(rated(scale(1, 5), None), SignalConfig())
    assert warning.startswith("value: 40 of 40 rows have a value, such as 1, and no event. They count as ratings")
    assert "price or a quantity" in warning
    prices = rating_warnings(rated(scale(9.99, 120.0, 35.5), None), SignalConfig())
    assert "all are positive" in prices[1]
    assert rating_warnings(rated(scale(1, 5), "purchase"), SignalConfig()) == []


@pytest.mark.parametrize("kind", ["rated", "rate", "review", "stars"])
def test_values_of_an_event_that_sounds_like_a_rating_get_a_warning(kind: str) -> None:
    (warning,) = rating_warnings(rated([1.0, 5.0], kind), SignalConfig())
    assert f"value: it is not read in rows whose event is {kind!r}" in warning
    assert rating_warnings(rated([None], kind), SignalConfig()) == []


def test_the_warning_says_how_they_are_taken_and_names_the_setting_that_ends_it() -> None:
    log = pl.concat([rated([1.0, 5.0], "rate"), rated([None], "click")])
    assert rating_warnings(log, SignalConfig()) == [
        "value: it is not read in rows whose event is 'rate' (neutral), which all count the same, whatever their "
        'value. If it is a rating, train with --set \'signals.rating_events=["rating", "rate"]\'.'
    ]
    assert unread_ratings(log, SignalConfig()) == ["rate"]
    named = SignalConfig(rating_events=("rating", "rate"))
    assert rating_warnings(log, named) == unread_ratings(log, named) == []
    assert named.signs(log).tolist() == [-1, 1, 1]
    assert "'stars' (positive)" in rating_warnings(rated([1.0, 5.0], "stars"), SignalConfig())[0]


# Training


def test_a_log_whose_ratings_are_never_positive_is_refused_with_thresholds() -> None:
    message = (
        r"events\.value: expected positive events, got none: 40 ratings lie between 0 and 1, and positive are those"
    )
    with pytest.raises(
        DataError, match=f"{message} from 4 on. For this scale, train with --positive-from 1 --negative-to 0"
    ):
        check_positives(rated(scale(0, 1)), SignalConfig())
    with pytest.raises(DataError, match="--positive-from 3 --negative-to 1"):
        check_positives(rated(scale(1, 2, 3), None), SignalConfig())


def test_a_log_of_negative_events_alone_is_refused_by_their_names() -> None:
    with pytest.raises(
        DataError,
        match=r"events\.event: expected positive events, got only 'skip'\. Name what is positive with --positive",
    ):
        check_positives(rated([None, None], "skip"), SignalConfig())


def test_a_log_with_a_positive_event_is_trained_on() -> None:
    check_positives(rated([1.0, 4.0]), SignalConfig())
    check_positives(rated(scale(0, 1)), SignalConfig(positive_from=1, negative_to=0))
    check_positives(rated([]), SignalConfig())
