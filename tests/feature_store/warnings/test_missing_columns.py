"""A refusal for a missing column names the column that may hold it, or says that the header is missing."""

from __future__ import annotations

import pytest

from feature_store.warnings.missing_columns import remedy_for_missing

ADD_IT = "Add it, or rename the column that holds it."


@pytest.mark.parametrize(
    ("name", "columns", "likely"),
    [
        ("item_id", "userId movieId rating timestamp", "'movieId'"),
        ("item_id", "app_id title rating", "'app_id'"),
        ("item_id", "business_id name stars", "'business_id'"),
        ("item_id", "asin parent_asin user_id title", "'asin' or 'parent_asin'"),
        ("item_id", "userid musicbrainz-artist-id musicbrainz-track-id track-name", "'musicbrainz-track-id'"),
        ("item_id", "id name url", "'id'"),
        ("user_id", "t_dat customer_id article_id price", "'customer_id'"),
        ("user_id", "visitorid event itemid", "'visitorid'"),
        ("user_id", "reviewerID asin reviewerName", "'reviewerID'"),
        ("user_id", "session_id item_id date", "'session_id'"),
        ("timestamp", "t_dat customer_id article_id price", "'t_dat'"),
        ("timestamp", "user_id item_id created_at", "'created_at'"),
        ("timestamp", "reviewTime unixReviewTime summary", "'reviewTime' or 'unixReviewTime'"),
        ("label", "user_id item_id clicked", "'clicked'"),
    ],
)
def test_the_column_of_another_name_that_may_hold_it_is_named(name: str, columns: str, likely: str) -> None:
    assert remedy_for_missing(name, columns.split()) == f"If {likely} holds it, rename it to {name!r}."


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("user_id", "order_id product_id reordered"),
        ("item_id", "id user_id timestamp"),
        ("timestamp", "play_time candidate update"),
        ("text", "title body"),
    ],
)
def test_columns_that_hold_something_else_are_not_named(name: str, columns: str) -> None:
    assert remedy_for_missing(name, columns.split()) == ADD_IT


@pytest.mark.parametrize("columns", [["196", "242", "3", "881250949"], ["a\tb\tc"], ["1::1193::5::978300760"]])
def test_a_header_that_looks_like_data_is_named_as_the_cause(columns: list[str]) -> None:
    assert remedy_for_missing("user_id", columns).startswith("The first line must hold the names of the columns")
