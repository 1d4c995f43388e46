"""The table of features: their names and order, which rankers were fitted on, and what new items get."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from feature_store import DataError
from feature_store.point_in_time import click_through, covisitation
from feature_store.point_in_time.counters import CounterConfig
from feature_store.ragged import Ragged
from five_item_dataset import N_TEXTS, catalogue, dataset_of, matcher
from five_item_features import batch_of, given_to, retrieved_by
from recmem.dataset import shared_facts
from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.matcher import MATCH_FEATURES
from recmem.ranking.feature_computation import FeatureContext
from recmem.ranking.feature_table import (
    COVISITATION_FEATURES,
    FACT_FEATURES,
    FEATURES,
    IMPRESSION_FEATURES,
    INTERESTS_SIMILARITY,
    SIMILARITY_SHOWN,
    TEXT_FEATURES,
    Feature,
    Group,
    check_names,
    column_of,
    compared_features,
    features_in,
    features_of,
    is_category,
    new_item_values,
    raw_features,
)
from recmem.ranking.given_features import candidate_features
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


def test_candidates_without_features_of_their_own_get_typical_ones() -> None:
    own = (CandidateFeature("ctr", None, 0.25), CandidateFeature("device", ("app", "web"), 1.0))
    dataset = dataset_of([Event(0, 1, 1)])
    dataset = replace(dataset, config=replace(dataset.config, candidate_features=own))
    candidates = Ragged.from_lists([[1, 2], [3]])
    batch = batch_of(dataset, [(0, 5), (0, 6)])
    bare = candidate_features(dataset, matcher(), batch, candidates).values
    assert list(bare)[-2:] == ["candidates.ctr", "categories.device"]
    assert bare["candidates.ctr"].tolist() == [0.25] * 3
    assert bare["categories.device"].tolist() == [1.0] * 3
    given = {"ctr": np.array([1, 2, 3], np.float32), "device": np.array([0, np.nan, 1], np.float32)}
    brought = candidate_features(dataset, matcher(), batch, candidates, given=given).values
    close(brought["candidates.ctr"], given["ctr"], "exact")
    close(brought["categories.device"], given["device"], "exact")


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


def test_item_attributes_are_the_catalogues_numbers_and_missing_for_other_texts() -> None:
    dataset = dataset_of([])
    items = list(range(N_TEXTS))
    reads = FeatureContext(dataset, matcher(), batch_of(dataset, [(0, 5)]), Ragged.from_lists([items]))
    price = features_of(dataset.catalogue)[-1]
    assert (price.name, price.group, price.new_item) == ("items.price", Group.ATTRIBUTE, None)
    close(column_of(price, reads), [1, 2, np.nan, 4, 5, np.nan, np.nan], "exact")


@pytest.mark.parametrize(
    ("per_query", "column", "got"),
    [
        (False, np.zeros(3, np.float32), r"expected float32\[4\], one value per pair, got float32\[3\]"),
        (False, np.zeros(4), r"expected float32\[4\], one value per pair, got float64\[4\]"),
        (True, np.zeros(4, np.float32), r"expected float32\[2\], one value per query, got float32\[4\]"),
        (False, [0.0] * 4, r"expected float32\[4\], one value per pair, got list"),
        (False, {"other": np.zeros(4, np.float32)}, r"expected a column of this name .*, got other"),
    ],
)
def test_a_column_of_another_shape_or_type_is_refused_and_names_the_feature(
    per_query: bool, column: object, got: str
) -> None:
    dataset = dataset_of([Event(0, 1, 1), Event(1, 2, 2)])
    queries = QueryBatch.of(dataset, np.array([0, 1]), np.array([5, 5]))
    context = FeatureContext(dataset, matcher(), queries, Ragged.from_lists([[0, 1], [2, 3]]))
    compute: Any = lambda context: column  # noqa: E731
    feature = Feature("mine", Group.USER, "x", compute, per_query=per_query, raw=True)
    with pytest.raises(ValueError, match=f"mine: {got}"):
        column_of(feature, context)


def test_a_feature_of_the_query_has_to_be_raw() -> None:
    with pytest.raises(ValueError, match="mine: expected raw=True with per_query=True"):
        Feature("mine", Group.USER, "x", lambda context: np.zeros(1, np.float32), per_query=True)


@pytest.mark.parametrize("column", ["age", "item_age", "match_raw", "user_gap", "age_z", "items.age", "score", "rank"])
def test_a_column_of_any_name_becomes_an_attribute_and_replaces_no_feature(column: str) -> None:
    items = pl.DataFrame({"item_id": ["a"], "title": ["text"], column: [3.0]})
    features = features_of(Catalogue.of(items, ("title",)))
    assert features[:-1] == FEATURES
    assert features[-1].name == f"items.{column}"
    assert features[-1].name not in {feature.name for feature in FEATURES}


@pytest.mark.parametrize("name", ["popularity", "items.popularity"])
def test_a_feature_of_the_table_has_a_name_that_nothing_else_can_have(name: str) -> None:
    feature = Feature(name, Group.USER, "x", lambda context: np.zeros(1, np.float32))
    with pytest.raises(DataError, match=rf"features\.{name}: expected (each name once|a name without items\.)"):
        check_names([*FEATURES, feature])


def test_a_raw_feature_that_reads_as_a_z_score_is_refused() -> None:
    feature = Feature("popularity_z", Group.USER, "x", lambda context: np.zeros(1, np.float32), raw=True)
    with pytest.raises(DataError, match=r"features\.popularity_z: expected a name without _z"):
        check_names([feature])
