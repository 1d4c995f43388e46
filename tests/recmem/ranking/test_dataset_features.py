"""The features of a dataset: those that only some datasets have, and those of columns of any name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from feature_store import DataError
from feature_store.ragged import Ragged
from five_item_dataset import N_TEXTS, dataset_of, matcher
from five_item_features import batch_of
from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.catalogue import Catalogue
from recmem.ranking.dataset_features import check_names, features_of
from recmem.ranking.feature import Feature, Group, column_of
from recmem.ranking.feature_computation import FeatureContext
from recmem.ranking.feature_table import (
    FEATURES,
)
from recmem.ranking.given_features import candidate_features
from slow_reference import Event
from tolerances import close


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


def test_item_attributes_are_the_catalogues_numbers_and_missing_for_other_texts() -> None:
    dataset = dataset_of([])
    items = list(range(N_TEXTS))
    reads = FeatureContext(dataset, matcher(), batch_of(dataset, [(0, 5)]), Ragged.from_lists([items]))
    price = features_of(dataset.catalogue)[-1]
    assert (price.name, price.group, price.new_item) == ("items.price", Group.ATTRIBUTE, None)
    close(column_of(price, reads), [1, 2, np.nan, 4, 5, np.nan, np.nan], "exact")


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
