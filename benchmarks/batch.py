"""Batch scoring of candidates, beside LightGBM's predict alone on ready-made columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

import recmem
from benchmarks.timing import Row, compare
from recmem.queries import read_candidates
from recmem.ranker import feature_matrix, ranking_features
from recmem.scoring import RANK_OUTPUTS, pairs_of

N_USERS, N_CANDIDATES = 2_000, 100


def batch_rows(bundle: Path) -> list[Row]:
    """Random candidates of random users of the bundle's store, scored by all columns and by the match alone."""
    model = recmem.load(bundle)
    rng = np.random.default_rng(0)
    users = rng.choice(model.scene.users.to_numpy(), N_USERS).repeat(N_CANDIDATES)
    items = rng.choice(model.scene.catalogue.ids.to_numpy(), len(users))
    frame = pl.DataFrame({"user_id": users, "item_id": items})
    read = read_candidates(frame, model.scene, RANK_OUTPUTS)
    pairs = pairs_of(model.scene, model._matcher, read, np.arange(len(read.queries)))
    ranker = model.bundle.ranker
    matrix = feature_matrix(ranking_features(pairs, ranker.columns), ranker.features)
    ways = {
        "LightGBM predict, ready-made columns": lambda: ranker.booster.predict(matrix, raw_score=True),
        "recmem rank, whole path": lambda: model.rank(frame),
        "recmem match": lambda: model.match(frame),
    }
    shape = f"{N_USERS:,} users x {N_CANDIDATES} candidates, {ranker.booster.num_trees()} trees"
    return compare("batch scoring", shape, ways, amount=len(frame), unit="rows/s", rounds=3)
