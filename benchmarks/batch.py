"""Batch scoring of candidates, beside LightGBM's predict alone on ready-made columns."""

from __future__ import annotations

from pathlib import Path

import lightgbm as lgb
import numpy as np
import polars as pl

import recmem
from benchmarks.timing import Row, compare
from recmem.queries import read_candidates
from recmem.ranker import feature_matrix, ranking_features
from recmem.scoring import RANK_OUTPUTS, pairs_of

N_USERS, N_CANDIDATES = 2_000, 100
LARGE, N_TREES = {"num_leaves": 63, "objective": "binary", "verbose": -1, "min_data_in_leaf": 20}, 300
"""A ranker of the size that teams often have, on labels of chance: only its speed counts."""


def batch_rows(bundle: Path) -> list[Row]:
    """Random candidates of random users of the bundle's store, scored by all columns and by the match alone."""
    model = recmem.load(bundle)
    rng = np.random.default_rng(0)
    users = rng.choice(model.scene.users.to_numpy(), N_USERS).repeat(N_CANDIDATES)
    items = rng.choice(model.scene.catalogue.ids.to_numpy(), len(users))
    frame = pl.DataFrame({"user_id": users, "item_id": items})
    read = read_candidates(frame, model.scene, RANK_OUTPUTS)
    pairs = pairs_of(model.matcher, read, np.arange(len(read.queries)))
    ranker = model.bundle.ranker
    matrix = feature_matrix(ranking_features(pairs, ranker.columns), ranker.features)
    labels = rng.random(len(matrix)) < 0.1
    if not np.array_equal(model.rank(frame)["score"].to_numpy(), ranker.scores(pairs)[read.pair_of_row]):
        raise ArithmeticError("score: expected the ranker's on these columns, got others. Nothing is timed.")
    large = lgb.train(LARGE, lgb.Dataset(matrix, labels), num_boost_round=N_TREES)
    ways = {
        f"LightGBM predict alone, {N_TREES} trees of {LARGE['num_leaves']} leaves": lambda: large.predict(matrix),
        "LightGBM predict alone, this ranker's trees": lambda: ranker.booster.predict(matrix, raw_score=True),
        "recmem rank, whole path": lambda: model.rank(frame),
        "recmem match": lambda: model.match(frame),
    }
    shape = f"{N_USERS:,} users x {N_CANDIDATES} candidates, {ranker.booster.num_trees()} trees"
    return compare("batch scoring", shape, ways, amount=len(frame), unit="rows/s", rounds=3)
