"""Boosters with splits of all kinds, and rows with values of all kinds."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np

from feature_store.arrays import Float32Array

N_ROWS = 3000
CATEGORY = 3


def values(n_rows: int = N_ROWS, seed: int = 0) -> Float32Array:
    """Four inputs: missing, infinite, tiny and huge values among them; the last is a category."""
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(n_rows, 4)).astype(np.float32)
    matrix[random.random(matrix.shape) < 0.1] = np.nan
    matrix[random.random(matrix.shape) < 0.1] = 0
    for special in (1e-36, -1e-36, 1e-35, np.inf, -np.inf):
        matrix[random.random(matrix.shape) < 0.01] = special
    matrix[:, CATEGORY] = random.integers(-1, 70, n_rows)
    return matrix


def fitted(rounds: int = 20, **options: object) -> lgb.Booster:
    matrix = values()
    known = np.nan_to_num(matrix, posinf=3, neginf=-3)
    target = known[:, 0] * known[:, 1] + np.isnan(matrix[:, 2]) + (matrix[:, CATEGORY] % 5 == 0)
    parameters = {"verbose": -1, "num_leaves": 31, "min_data_in_leaf": 5, "num_threads": 1, **options}
    categorical = [CATEGORY] if options.get("max_cat_threshold") else []
    data = lgb.Dataset(matrix, label=target, categorical_feature=categorical, params={"verbose": -1, **options})
    return lgb.train(parameters, data, num_boost_round=rounds)


OPTIONS: list[dict[str, object]] = [
    {},
    {"use_missing": False},
    {"max_cat_threshold": 32},
    {"min_data_in_leaf": 10_000},  # one leaf each
    {"num_leaves": 255, "max_depth": 4},
]

UNSEEN_CATEGORIES = np.array([95, 96, 1e9, -0.5, 3.9, np.nan, np.inf, -7], np.float32)
"""Categories that were not there when the trees were fitted, and what is no category."""
