"""The table of features: their names and order, which rankers were fitted on, and what new items get."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from feature_store.point_in_time import click_through, covisitation
from feature_store.point_in_time.counters import CounterConfig
from five_item_dataset import catalogue, dataset_of, matcher
from five_item_features import given_to, retrieved_by
from recmem.dataset import shared_facts
from recmem.matching.matcher import MATCH_FEATURES
from recmem.ranking.dataset_features import features_of
from recmem.ranking.feature import Group
from recmem.ranking.feature_table import (
    COVISITATION_FEATURES,
    FACT_FEATURES,
    FEATURES,
    IMPRESSION_FEATURES,
    INTERESTS_SIMILARITY,
    SIMILARITY_SHOWN,
    TEXT_FEATURES,
    features_in,
    new_item_values,
)
from recmem.retrieval import interleave
from slow_reference import Event
from tolerances import close

MATCH = ("match_raw", "match_prior", "similarity_max", "similarity_mean", "similarity_top3", "similarity_last")
COVISITATION = (
    *("together", "together_recent", "follow", "follow_recent", "near", "near_recent", "ease", "ease_recent"),
    *("ease_text", "ease_text_recent"),
)
TEXT_COVISITATION = COVISITATION[-2:]
COUNTERS = ("popularity", "popularity_short", "popularity_medium", "popularity_long", "trend", "item_age")
TIMES_HAD = ("times_had", "visits_since_had", "time_since_had")
REST = (*COUNTERS, "click_through", "shown", "user_events", "user_gap", "memory_size", "items.price")


def test_features_of_given_candidates_keep_the_order_that_rankers_were_fitted_on() -> None:
    found = given_to(dataset_of([Event(0, 1, 1)]), [(0, 5)], [[1, 2]])
    assert tuple(found.values) == (*MATCH, *COVISITATION, *REST)
    assert tuple(feature.name for feature in features_of(catalogue())) == tuple(found.values)


def test_a_training_on_impressions_compares_a_candidate_with_those_beside_it() -> None:
    dataset = dataset_of([Event(0, 1, 1)])
    dataset = replace(dataset, config=replace(dataset.config, has_impressions=True))
    found = given_to(dataset, [(0, 5), (0, 6)], [[1, 2, 3], [4]])
    assert tuple(found.values) == (*MATCH, *COVISITATION, *REST, "similarity_shown")
    cosines = matcher().tables.unit.double() @ matcher().tables.unit.double().T
    close(found.values["similarity_shown"][:3], cosines[1:4, 1:4].mean(1).float().numpy(), "exact")
    close(found.values["similarity_shown"][3], cosines[4, 4].float().numpy(), "exact")
    # A model that was not trained on impressions does without.
    assert "similarity_shown" not in given_to(dataset_of([Event(0, 1, 1)]), [(0, 5)], [[1, 2]]).values


def test_features_of_retrieved_candidates_keep_the_order_that_rankers_were_fitted_on() -> None:
    found = retrieved_by(dataset_of([Event(0, 1, 1)]), [(0, 5)])
    assert tuple(found.values) == (*COVISITATION, *MATCH, *REST)


def test_models_of_repeats_have_their_features_last() -> None:
    dataset = dataset_of([Event(0, 1, 1), Event(0, 1, 3), Event(0, 2, 3)])
    dataset = replace(dataset, config=replace(dataset.config, repeats=True))
    found = given_to(dataset, [(0, 5)], [[1, 2, 3]])
    assert tuple(found.values) == (*MATCH, *COVISITATION, *REST, *TIMES_HAD)
    close(found.values["times_had"], np.log1p([2, 1, 0]), "float32")
    close(found.values["visits_since_had"], [0, 0, -1], "float32")
    window = dataset.config.counters.short
    close(found.values["time_since_had"], [np.log1p(2 / window), np.log1p(2 / window), -1], "float32")


def test_names_are_unique() -> None:
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)


def test_groups_hold_the_features_that_the_rooms_below_compute() -> None:
    assert features_in(Group.MATCH, Group.SIMILARITY) == MATCH_FEATURES
    assert COVISITATION_FEATURES == covisitation.FEATURES
    facts = tuple(feature.name for feature in FACT_FEATURES)
    assert facts == shared_facts.FEATURES
    assert (
        *MATCH_FEATURES,
        *TEXT_COVISITATION,
        INTERESTS_SIMILARITY.name,
        SIMILARITY_SHOWN.name,
        *facts,
    ) == TEXT_FEATURES
    assert INTERESTS_SIMILARITY.name == interleave.INTERESTS
    assert interleave.FACTS in facts
    assert IMPRESSION_FEATURES == click_through.CLICK_FEATURES


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_every_feature_says_what_it_means_in_sentences(feature: object) -> None:
    meaning = getattr(feature, "meaning")  # noqa: B009
    assert meaning.endswith(".")
    assert meaning == " ".join(meaning.split())


def test_new_items_get_the_values_of_an_item_without_events() -> None:
    dataset = dataset_of([Event(0, 1, 1), Event(0, 2, 3), Event(1, 1, 4)])
    dataset = replace(dataset, config=replace(dataset.config, repeats=True))
    without_event = given_to(dataset, [(0, 9)], [[4]]).values
    expected = new_item_values(dataset.config.counters)
    assert tuple(expected) == (*COVISITATION[:-2], *COUNTERS, *TIMES_HAD)
    for name, value in expected.items():
        close(without_event[name], [value], "float32")


def test_trend_of_a_new_item_follows_the_windows() -> None:
    windows = CounterConfig(short=5, medium=20, long=80, span=1000)
    assert new_item_values(windows)["trend"] == 0.25
    assert new_item_values(windows)["item_age"] == -1
