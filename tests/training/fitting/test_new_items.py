"""Items treated as new: which pairs, which features, and nothing else."""

from __future__ import annotations

import numpy as np

from feature_store.point_in_time.counters import CounterConfig
from feature_store.ragged import Ragged
from recmem.ranking.feature_table import new_item_values
from recmem.ranking.pair_features import PairFeatures
from training.fitting.fit_ranker import RankingData
from training.fitting.new_items import with_new_items

COUNTERS = CounterConfig(short=5, medium=20, long=80, span=1000)
N_PAIRS = 4000


def ranking_data() -> RankingData:
    """Random features above 1; half of the positives are new items."""
    random = np.random.default_rng(0)
    names = [*new_item_values(COUNTERS), "match_raw", "user_events"]
    values = {name: random.random(N_PAIRS).astype(np.float32) + 1 for name in names}
    rows = Ragged.from_lists([range(N_PAIRS // 2), range(N_PAIRS // 2)])
    labels = random.integers(0, 2, N_PAIRS).astype(np.int8)
    new = np.flatnonzero(labels)[: labels.sum() // 2]
    values["item_age"][new] = -1
    return RankingData(PairFeatures(rows, values), labels)


def test_about_the_share_becomes_new_in_all_features_that_depend_on_the_items_events() -> None:
    data = ranking_data()
    found = with_new_items(data, 0.5, COUNTERS, np.random.default_rng(1)).pairs.values
    as_new = found["popularity"] == 0
    assert 0.2 < as_new.mean() < 0.3
    blank = {"together": 0, "ease_recent": 0, "popularity_long": 0, "trend": 0.25, "item_age": -1}
    assert blank.items() <= new_item_values(COUNTERS).items()
    for name, value in new_item_values(COUNTERS).items():
        assert (found[name][as_new] == np.float32(value)).all(), name
        assert (found[name][~as_new] == data.pairs.values[name][~as_new]).all(), name


def test_log_whose_positives_are_never_new_is_left_as_it_is() -> None:
    data = ranking_data()
    data.pairs.values["item_age"][:] = 1
    found = with_new_items(data, 0.5, COUNTERS, np.random.default_rng(1))
    assert all((found.pairs.values[name] == column).all() for name, column in data.pairs.values.items())


def test_match_user_features_labels_and_the_given_data_stay_as_they_are() -> None:
    data = ranking_data()
    before = {name: column.copy() for name, column in data.pairs.values.items()}
    found = with_new_items(data, 0.25, COUNTERS, np.random.default_rng(1))
    assert (found.pairs.values["match_raw"] == before["match_raw"]).all()
    assert (found.pairs.values["user_events"] == before["user_events"]).all()
    assert (found.labels == data.labels).all()
    assert all((data.pairs.values[name] == column).all() for name, column in before.items())
    assert all(column.dtype == np.float32 for column in found.pairs.values.values())
