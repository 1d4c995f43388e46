"""A small ranker over random features of a few queries."""

from __future__ import annotations

import functools

import lightgbm as lgb
import numpy as np

from feature_store.ragged import Ragged
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Blend, Ranker
from recmem.ranking.ranker_inputs import input_matrix, neutral_names, ranker_inputs
from recmem.ranking.trees import Trees

FEATURES = ("match_raw", "item_age", "user_gap", "items.price")
INPUTS = ("match_raw_z", "item_age_z", "items.price_z", "item_age", "user_gap")


def pairs(lengths: tuple[int, ...] = (5, 1, 8, 4), seed: int = 0) -> PairFeatures:
    """Random features; prices are missing here and there."""
    random = np.random.default_rng(seed)
    n_pairs = sum(lengths)
    values = {name: random.normal(size=n_pairs).astype(np.float32) for name in FEATURES}
    values["items.price"][::3] = np.nan
    return PairFeatures(Ragged.from_lengths(np.arange(n_pairs), np.array(lengths)), values)


@functools.cache
def ranker() -> Ranker:
    """A blend and trees over random features, the trees on the raw age above all."""
    data = pairs((20,) * 40, seed=1)
    matrix = input_matrix(ranker_inputs(data, FEATURES), INPUTS)
    target = matrix[:, 0] * matrix[:, 3] + np.nan_to_num(matrix[:, 2])
    parameters = {"verbose": -1, "num_leaves": 7, "min_data_in_leaf": 10, "num_threads": 1}
    dataset = lgb.Dataset(matrix, label=target, feature_name=neutral_names(INPUTS))
    booster = lgb.train(parameters, dataset, num_boost_round=10)
    return Ranker(Trees.of(booster), Blend({"match_raw_z": 0.75, "items.price_z": -0.5}), FEATURES, INPUTS)
