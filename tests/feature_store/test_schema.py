from __future__ import annotations

import polars as pl

from feature_store.schema import DATED_ITEMS, EVENTS, IMPRESSIONS, ITEMS, TABLES, are_dated_items


def test_every_table_has_a_name_of_its_own_and_the_columns_that_identify_its_rows() -> None:
    assert len({table.name for table in TABLES}) == len(TABLES)
    for table in TABLES:
        assert set(table.identity) <= set(table.schema())


def test_a_schema_has_the_types_of_ids_that_are_decided_already() -> None:
    assert EVENTS.schema()["user_id"] == pl.String()
    assert EVENTS.schema({"user_id": pl.Int64()})["user_id"] == pl.Int64()
    assert EVENTS.schema({"user_id": pl.Int64()})["item_id"] == pl.String()


def test_only_a_table_that_keeps_features_takes_them_and_stays_equal_to_itself() -> None:
    assert IMPRESSIONS.with_features(["price"]).features == ("price",)
    assert IMPRESSIONS.with_features(["price"]) == IMPRESSIONS
    assert EVENTS.with_features(["price"]) is EVENTS


def test_items_with_times_are_told_from_items_without_also_where_no_text_is_needed() -> None:
    assert are_dated_items(DATED_ITEMS)
    assert are_dated_items(DATED_ITEMS.without_texts())
    assert not are_dated_items(ITEMS)
    assert not are_dated_items(ITEMS.without_texts())
