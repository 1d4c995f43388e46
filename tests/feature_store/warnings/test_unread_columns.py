"""Columns that a table does not read are named in the receipt, and those that change what is learned with a remedy."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pandas as pd
import polars as pl
import pytest

from debian_model import model_of, sample
from feature_store import EVENTS, IMPRESSIONS, ITEMS, DataError
from feature_store.table_checks import check_table
from feature_store.warnings.unread_columns import unread_columns
from recmem.dataset.candidate_checks import check_candidates

DAY = datetime(2024, 1, 1, tzinfo=UTC)


def events(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": [DAY], **columns})


@pytest.mark.parametrize("name", ["rating", "Rating", "stars", "score", "user_rating", "user_weight", "grade"])
def test_a_rating_that_is_not_read_gets_a_warning_with_what_makes_it_count(name: str) -> None:
    (warning,) = check_table(events(**{name: [1]}), EVENTS).warnings
    assert warning.startswith(f"{name!r} is not read. To make it count, rename it to `value`: rows without")
    assert "one of 1 star too" in warning


@pytest.mark.parametrize("name", ["event_type", "eventType", "action", "type", "behavior"])
def test_a_kind_of_event_that_is_not_read_gets_a_warning_with_what_makes_it_count(name: str) -> None:
    (warning,) = check_table(events(**{name: ["dislike"]}), EVENTS).warnings
    assert warning.startswith(f"{name!r} is not read. To make it count, rename it to `event`")


@pytest.mark.parametrize("name", ["clicked", "is_click", "label", "Liked", "purchased", "recommended"])
def test_a_label_that_is_not_read_gets_a_warning(name: str) -> None:
    (warning,) = check_table(events(**{name: [0]}), EVENTS).warnings
    assert warning.startswith(f"{name!r} is not read: every event counts as positive. ")
    (beside_event,) = check_table(events(event=["view"], **{name: [0]}), EVENTS).warnings
    assert "its `event` alone decides" in beside_event


def test_a_required_column_of_nearly_the_right_name_is_refused_once() -> None:
    items = pl.DataFrame({"Item_ID": ["a"], "Title": ["b"]})
    with pytest.raises(DataError) as refused:
        check_table(items, ITEMS)
    assert str(refused.value) == (
        "items.item_id: expected the column, got only Item_ID, Title. Rename 'Item_ID' to 'item_id'."
    )


def test_a_rating_beside_the_columns_that_are_read_gets_another_remedy() -> None:
    beside_value = check_table(events(event=["rating"], value=[5.0], stars=[1]), EVENTS).warnings
    assert beside_value == (
        "'stars' is not read: ratings are read from `value`. Put the ratings there if 'stars' holds them.",
    )
    (beside_event,) = check_table(events(event=["rating"], stars=[1]), EVENTS).warnings
    assert "in rows whose `event` is 'rating'" in beside_event


@pytest.mark.parametrize(("name", "meant"), [(" value", "value"), ("Event", "event"), ("Available-At", "available_at")])
def test_a_name_that_is_nearly_right_gets_a_warning(name: str, meant: str) -> None:
    (warning,) = check_table(events(**{name: [None]}), EVENTS).warnings
    assert warning == f"{name!r} is not read: the column is called {meant!r}. Rename it to be read."


@pytest.mark.parametrize("name", [" user_id", "User_ID", "userId", "user id"])
def test_a_required_column_of_nearly_the_right_name_is_named_in_the_refusal(name: str) -> None:
    frame = events().rename({"user_id": name})
    with pytest.raises(DataError, match=rf"events\.user_id: expected the column, got .*Rename '{name}' to 'user_id'\."):
        check_table(frame, EVENTS)
    with pytest.raises(DataError, match=rf"candidates\.user_id: expected the column, got .*Rename '{name}' to"):
        check_candidates(frame, ())


def test_other_columns_are_named_once_in_one_sentence() -> None:
    (warning,) = check_table(events(device=["x"], country=["y"]), EVENTS).warnings
    assert warning.startswith("Not read: 'device', 'country'. ")
    many = unread_columns([f"c{n}" for n in range(30)], ["user_id"], "events")
    assert many[0].startswith("Not read: 'c0', 'c1',")
    assert "'c9' and 20 more." in many[0]


def test_impressions_get_a_warning_and_items_keep_every_column() -> None:
    shown = events(impression_id=["p"], label=[1], rating=[3])
    assert check_table(shown, IMPRESSIONS).warnings[0].startswith("Not read: 'rating'. ")
    items = pl.DataFrame({"item_id": ["a"], "title": ["b"], "rating": [3.5], "score": [1]})
    assert check_table(items, ITEMS).warnings == ()


def test_unread_columns_give_a_warning_when_events_are_observed() -> None:
    rows = sample()[1].select("user_id", "item_id", "timestamp").head(3).with_columns(stars=1)
    warnings = model_of(sample()[1].tail(40)).observe(rows).warnings
    assert len(warnings) == 1
    for frame in (rows.to_pandas(), rows.to_arrow()):
        assert model_of(sample()[1].tail(40)).observe(frame).warnings == warnings
    assert model_of(sample()[1].tail(40)).observe(pd.DataFrame(rows.drop("stars").to_pandas())).warnings == ()
