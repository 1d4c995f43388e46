"""The table of features: their names and order, which rankers were fitted on, and what new items get."""

from __future__ import annotations

import numpy as np
import pytest

from feature_store.point_in_time import click_through, covisitation
from feature_store.point_in_time.counters import CounterConfig
from feature_store.ragged import Ragged
from five_item_dataset import N_TEXTS, catalogue, dataset_of, matcher
from five_item_features import batch_of, given_to, retrieved_by
from recmem.matching.matcher import MATCH_FEATURES
from recmem.ranking.feature_computation import FeatureContext
from recmem.ranking.feature_table import (
    COVISITATION_FEATURES,
    FEATURES,
    IMPRESSION_FEATURES,
    Group,
    column_of,
    features_in,
    features_of,
    new_item_values,
    per_query_features,
    raw_features,
)
from slow_reference import Event
from tolerances import close

MATCH = ("match_raw", "match_prior", "similarity_max", "similarity_mean", "similarity_top3", "similarity_last")
COVISITATION = ("together", "together_recent", "follow", "follow_recent", "ease", "ease_recent")
COUNTERS = ("popularity", "popularity_short", "popularity_medium", "popularity_long", "trend", "item_age")
REST = (*COUNTERS, "click_through", "shown", "user_events", "user_gap", "memory_size", "item_price")


def test_features_of_given_candidates_keep_the_order_that_rankers_were_fitted_on() -> None:
    found = given_to(dataset_of([Event(0, 1, 1)]), [(0, 5)], [[1, 2]])
    assert tuple(found.values) == (*MATCH, *COVISITATION, *REST)
    assert tuple(feature.name for feature in features_of(catalogue())) == tuple(found.values)


def test_features_of_retrieved_candidates_keep_the_order_that_rankers_were_fitted_on() -> None:
    found = retrieved_by(dataset_of([Event(0, 1, 1)]), [(0, 5)])
    assert tuple(found.values) == (*COVISITATION, *MATCH, *REST)


def test_names_are_unique() -> None:
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)


def test_groups_hold_the_features_that_the_rooms_below_compute() -> None:
    assert features_in(Group.MATCH, Group.SIMILARITY) == MATCH_FEATURES
    assert COVISITATION_FEATURES == covisitation.FEATURES
    assert IMPRESSION_FEATURES == click_through.CLICK_FEATURES


def test_trees_read_raw_what_means_the_same_in_every_query() -> None:
    assert per_query_features() == {"user_events", "user_gap", "memory_size"}
    others = {"similarity_max", "similarity_top3", "item_age", "trend", "click_through"}
    assert raw_features() == per_query_features() | others


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_every_feature_says_what_it_means_in_sentences(feature: object) -> None:
    meaning = getattr(feature, "meaning")  # noqa: B009
    assert meaning.endswith(".")
    assert meaning == " ".join(meaning.split())


def test_new_items_get_the_values_of_an_item_without_events() -> None:
    dataset = dataset_of([Event(0, 1, 1), Event(0, 2, 3), Event(1, 1, 4)])
    without_event = given_to(dataset, [(0, 9)], [[4]]).values
    expected = new_item_values(dataset.config.counters)
    assert tuple(expected) == (*COVISITATION, *COUNTERS)
    for name, value in expected.items():
        close(without_event[name], [value], "float32")


def test_trend_of_a_new_item_follows_the_windows() -> None:
    windows = CounterConfig(short=5, medium=20, long=80, span=1000)
    assert new_item_values(windows)["trend"] == 0.25
    assert new_item_values(windows)["item_age"] == -1


def test_item_attributes_are_the_catalogues_numbers_and_missing_for_other_texts() -> None:
    dataset = dataset_of([])
    items = list(range(N_TEXTS))
    reads = FeatureContext(dataset, matcher(), batch_of(dataset, [(0, 5)]), Ragged.from_lists([items]))
    price = features_of(dataset.catalogue)[-1]
    assert (price.name, price.group, price.new_item) == ("item_price", Group.ATTRIBUTE, None)
    close(column_of(price, reads), [1, 2, np.nan, 4, 5, np.nan, np.nan], "exact")
