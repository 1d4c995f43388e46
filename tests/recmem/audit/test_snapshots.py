"""Snapshots of past queries: where two of them differ, and in what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from debian_model import model_of, trained_model
from recmem.audit.past_queries import PastQueries
from recmem.audit.snapshots import MEMORY, SCORE, FeatureSnapshot, differences
from recmem.ranking.pair_features import PairFeatures
from recmem.serving.model import Model

NAMES = ("left", "right")


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(trained_model().events)


@pytest.fixture(scope="module")
def queries(model: Model) -> PastQueries:
    return PastQueries.sample(model.dataset, 5, np.random.default_rng(0))


@pytest.fixture(scope="module")
def snapshot(model: Model, queries: PastQueries) -> FeatureSnapshot:
    return FeatureSnapshot.of(model.dataset, model.matcher, model.bundle.ranker, queries)


def with_feature(snapshot: FeatureSnapshot, name: str, values: np.ndarray) -> FeatureSnapshot:
    features = PairFeatures(snapshot.features.candidates, snapshot.features.values | {name: values})
    return replace(snapshot, features=features)


def test_a_snapshot_does_not_differ_from_itself(model: Model, queries: PastQueries, snapshot: FeatureSnapshot) -> None:
    found = differences(model.dataset, queries, snapshot, snapshot, names=NAMES)
    assert found.is_empty()
    assert found.columns == ["user_id", "timestamp", "item_id", "what", *NAMES]


def test_the_last_bit_of_one_feature_is_a_difference_of_one_pair(
    model: Model, queries: PastQueries, snapshot: FeatureSnapshot
) -> None:
    values = snapshot.features.values["popularity"].copy()
    values[7] = np.nextafter(values[7], np.float32(np.inf))
    changed = with_feature(snapshot, "popularity", values)
    found = differences(model.dataset, queries, snapshot, changed, names=NAMES)
    assert found["what"].to_list() == ["popularity"]
    row = found.row(0, named=True)
    query = int(queries.items.row_index[7])
    assert row["user_id"] == model.dataset.users[int(queries.users[query])]
    assert row["item_id"] == model.dataset.catalogue.ids[int(queries.items.values[7])]
    assert float(row["left"]) < float(row["right"])


def test_nan_equals_nan_and_differs_from_a_number(
    model: Model, queries: PastQueries, snapshot: FeatureSnapshot
) -> None:
    values = snapshot.features.values["popularity"].copy()
    values[:3] = np.nan
    with_nan = with_feature(snapshot, "popularity", values)
    assert differences(model.dataset, queries, with_nan, with_nan, names=NAMES).is_empty()
    assert len(differences(model.dataset, queries, with_nan, snapshot, names=NAMES)) == 3


def test_scores_and_memories_are_compared_too(model: Model, queries: PastQueries, snapshot: FeatureSnapshot) -> None:
    shorter = snapshot.histories.newest(1)
    changed = replace(snapshot, histories=shorter, scores=snapshot.scores + 1)
    found = differences(model.dataset, queries, snapshot, changed, names=NAMES)
    memories = found.filter(found["what"] == MEMORY)
    assert set(found["what"]) == {MEMORY, SCORE}
    assert len(found.filter(found["what"] == SCORE)) == len(queries.items.values)
    assert len(memories) == int((snapshot.histories.items.lengths > 1).sum()) > 0
    assert memories["item_id"].null_count() == len(memories)
    assert (memories["left"].str.split(" ").list.len() > memories["right"].str.split(" ").list.len()).all()
