from __future__ import annotations

import polars as pl
import pytest

from feature_store import SignalConfig
from feature_store.signals import Judged

BEFORE = SignalConfig(
    negative_events=("skip", "return", "dislike", "hide"), positive_events=(), common_names=False, unnamed="positive"
)
"""The defaults of bundles that were written before events had common names."""


def frame(*kinds: str | None, value: float | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {"event": kinds, "value": [value] * len(kinds)}, schema={"event": pl.String, "value": pl.Float64}
    )


@pytest.mark.parametrize(
    ("kind", "value", "sign"),
    [
        ("rating", 4.0, 1),
        ("rating", 3.9, 0),
        ("Rating", 2.1, 0),
        ("rating", 2.0, -1),
        ("rating", None, 0),
        ("skip", None, -1),
        ("return", 5.0, -1),
        ("refund", None, -1),
        ("purchase", 1.0, 1),
        ("view", None, 0),
        ("VIEW", None, 0),
        ("spotted", None, 1),
        ("upsold", None, -1),
        ("unheard of", None, 0),
        (None, None, 1),
        (None, 1.0, -1),
        (None, 3.0, 0),
        (None, 5.0, 1),
        ("", 1.0, 1),
    ],
)
def test_events_are_positive_neutral_or_negative(kind: str | None, value: float | None, sign: int) -> None:
    config = SignalConfig(neutral_events=("view",), positive_events=("Spotted",), negative_events=("upsold",))
    assert config.signs(frame(kind, value=value)).tolist() == [sign]


def test_a_name_of_the_settings_counts_before_a_common_one_and_before_a_rating() -> None:
    config = SignalConfig(positive_events=("return", "rating"), negative_events=("click",))
    assert config.signs(frame("return", "rating", "click", value=1.0)).tolist() == [1, 1, -1]


def test_a_value_without_an_event_is_no_rating_where_no_event_is_one() -> None:
    assert SignalConfig(rating_events=()).signs(frame(None, value=1.0)).tolist() == [1]


@pytest.mark.parametrize("kind", ["click", "purchase", "build", "depends"])
def test_a_log_of_one_kind_is_positive_whatever_its_name(kind: str) -> None:
    log = frame(kind, kind)
    decided = SignalConfig().decided(log)
    assert decided.signs(log).tolist() == [1, 1]
    # The rules are fixed: what comes later is judged without the log, and makes nothing else positive.
    assert decided.signs(frame("deploy")).tolist() == [0]
    assert decided.decided(frame("deploy")) == decided


def test_an_unknown_kind_beside_positive_events_is_neutral() -> None:
    log = frame("build", "purchase", "refund")
    assert SignalConfig().decided(log).signs(log).tolist() == [0, 1, -1]
    assert SignalConfig(unnamed="positive").decided(log).signs(log).tolist() == [1, 1, -1]


def test_an_unknown_kind_beside_negative_events_alone_is_positive() -> None:
    log = frame("build", "refund", "deploy")
    assert SignalConfig().decided(log).positive_events == ("build", "deploy")


def test_a_cancellation_is_no_positive_event_of_the_log() -> None:
    log = frame("build", None).with_columns(cancels=pl.Series([None, "e1"], dtype=pl.String))
    assert SignalConfig().decided(log).positive_events == ("build",)


def test_models_of_before_judge_names_as_written_and_take_others_as_positive() -> None:
    kinds = ("skip", "Skip", "refund", "complaint", "build", "view", "rating", None)
    log = frame(*kinds, value=1.0)
    assert BEFORE.decided(log) is BEFORE
    assert BEFORE.signs(log).tolist() == [-1, 1, 1, 1, 1, 1, -1, -1]
    assert SignalConfig(negative_events=("skip",), common_names=False, unnamed="neutral").judge("x") == Judged(
        0, "unnamed"
    )


def test_models_of_the_first_list_of_names_judge_by_it() -> None:
    log = frame("view", "remove", "viewItem", "shown")
    assert SignalConfig().signs(log).tolist() == [1, -1, 1, 0]
    assert SignalConfig(name_list=1, unnamed="neutral").signs(log).tolist() == [1, 0, 0, 0]


def test_a_rating_cannot_be_both_positive_and_negative() -> None:
    with pytest.raises(ValueError, match=r"negative_to: expected less than positive_from \(3.0\), got 3.0\. Leave"):
        SignalConfig(positive_from=3.0, negative_to=3.0)


def test_an_event_cannot_be_both_positive_and_neutral() -> None:
    with pytest.raises(
        ValueError, match=r"positive_events, neutral_events: expected each event in one of them, got 'view' in both\."
    ):
        SignalConfig(positive_events=("View",), neutral_events=("cart", "view"))
