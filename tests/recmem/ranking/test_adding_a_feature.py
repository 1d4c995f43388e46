"""docs/adding_a_feature.md holds: its code, put into the table, is all that a new feature takes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from debian_model import trained_model
from feature_store.ragged import Ragged
from five_item_dataset import N_TEXTS, dataset_of, matcher
from recmem.dataset.query_batch import QueryBatch
from recmem.ranking import feature_glossary, feature_table
from recmem.ranking.feature import Feature
from recmem.ranking.given_features import candidate_features
from slow_reference import Event
from strategies import N_ITEMS, USERS
from tolerances import close
from training.fitting.fit_ranker import RankerConfig, RankingData, fit_ranker
from training.fitting.new_items import with_new_items

DOCUMENT = (Path(__file__).parents[3] / "docs" / "adding_a_feature.md").read_text()
DAY = 86_400_000_000
NAME = "days_since_last_event"


def documented_feature() -> Feature:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "docs/adding_a_feature.md", "exec"), names)
    feature = names["DAYS_SINCE_LAST_EVENT"]
    assert isinstance(feature, Feature)
    return feature


@pytest.fixture
def _in_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table with the feature at its end, as a team would edit the file."""
    trained_model()  # cached for the tests of other files: its ranker must not know the feature
    monkeypatch.setattr(feature_table, "FEATURES", (*feature_table.FEATURES, documented_feature()))


@pytest.mark.usefixtures("_in_table")
def test_documented_feature_has_the_values_worked_out_by_hand() -> None:
    log = [
        Event(0, 1, 1 * DAY),
        Event(1, 1, 3 * DAY),
        Event(1, 2, 9 * DAY + DAY // 2),
        Event(2, 3, 2 * DAY, available=8 * DAY),
        Event(2, 4, 10 * DAY),  # at the time of the second query: not known there
    ]
    dataset = dataset_of(log)
    times = np.array([4, 10]) * DAY
    queries = QueryBatch.of(dataset, dataset.user_rows(USERS.gather([0, 0])), times)
    pairs = candidate_features(dataset, matcher(), queries, Ragged.from_lists([range(N_TEXTS)] * 2))
    beyond_catalogue = [-1] * (N_TEXTS - N_ITEMS)
    expected = [[-1, 1, -1, -1, -1, *beyond_catalogue], [-1, 7, 0.5, 8, -1, *beyond_catalogue]]
    close(pairs.values[NAME].reshape(2, -1), expected, "exact")
    assert pairs.values[NAME].dtype == np.float32
    assert list(pairs.values)[-2:] == [NAME, "items.price"]


@pytest.mark.usefixtures("_in_table")
def test_a_ranker_fitted_with_the_feature_is_served_with_it() -> None:
    model = trained_model().model()
    user_ids = model.dataset.users.head(40)
    queries = QueryBatch.of(model.dataset, model.dataset.user_rows(user_ids), np.full(40, model.dataset.clock))
    everything = Ragged.from_lists([range(len(model.dataset.catalogue))] * 40)
    pairs = candidate_features(model.dataset, model.matcher, queries, everything)
    labels = (pairs.values[NAME] < np.quantile(pairs.values[NAME], 0.3)).astype(np.int8)
    config = RankerConfig(rounds=10, smoothing=3, min_rows_in_leaf=20)
    ranker = fit_ranker(RankingData(pairs, labels), ("match_raw", "popularity", NAME), config, seed=0).ranker
    assert ranker.inputs == ("match_raw_z", "popularity_z", f"{NAME}_z", NAME)
    assert ranker.importance()[NAME] > 0.5

    model.bundle = replace(model.bundle, ranker=ranker)
    candidates = pl.DataFrame({"user_id": user_ids}).join(
        pl.DataFrame({"item_id": model.dataset.catalogue.ids}), how="cross"
    )
    close(model.rank(candidates)["score"].to_numpy(), ranker.scores(pairs), "float32")
    best = model.recommend([user_ids[0]], k=1)
    assert best["rank"].to_list() == [1]


@pytest.mark.usefixtures("_in_table")
def test_feature_is_blanked_for_new_items_and_stands_in_the_glossary() -> None:
    dataset = dataset_of([Event(0, 1, 1), Event(1, 2, 2)])
    queries = QueryBatch.of(dataset, np.array([0]), np.array([9]))
    pairs = candidate_features(dataset, matcher(), queries, Ragged.from_lists([range(N_ITEMS)]))
    data = RankingData(pairs, (pairs.values["popularity"] == 0).astype(np.int8))
    blanked = with_new_items(data, 1.0, dataset.config.counters, np.random.default_rng(0))
    assert (blanked.pairs.values[NAME] == -1).all()
    assert feature_glossary.meanings([NAME]) == {NAME: documented_feature().meaning}
    assert NAME in feature_glossary.glossary_markdown()


def test_a_ranker_that_was_fitted_without_the_feature_scores_as_before(request: pytest.FixtureRequest) -> None:
    model = trained_model().model()
    candidates = trained_model().events.select("user_id", "item_id").head(20)
    before = model.rank(candidates)
    request.getfixturevalue("_in_table")
    assert model.rank(candidates).equals(before)
