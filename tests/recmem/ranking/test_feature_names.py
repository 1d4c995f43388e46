"""What names of features tell: which the trees read raw, which are compared within a query."""

from __future__ import annotations

from recmem.ranking.feature_names import compared_features, is_category, raw_features
from recmem.ranking.feature_table import (
    FEATURES,
)


def test_trees_read_raw_what_means_the_same_in_every_query() -> None:
    names = [feature.name for feature in FEATURES]
    per_query = {"user_events", "user_gap", "memory_size"}
    others = {"similarity_max", "similarity_top3", "item_age", "trend", "click_through"}
    assert set(raw_features(names)) == per_query | others
    assert set(names) - set(compared_features(names)) == per_query


def test_numbers_of_candidates_are_read_raw_and_compared_and_categories_raw_only() -> None:
    own = ["candidates.ctr", "categories.device", "items.price"]
    assert raw_features(own) == ["candidates.ctr", "categories.device"]
    assert compared_features(own) == ["candidates.ctr", "items.price"]
    assert [is_category(name) for name in own] == [False, True, False]
