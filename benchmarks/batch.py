"""Batch scoring of candidates, beside LightGBM's predict alone on ready-made columns."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

import recmem
from benchmarks.agreement import check_scores
from benchmarks.timing import Row, compare
from recmem.batch.candidate_files import CandidateFiles
from recmem.batch.score_file import score_file
from recmem.batch.workers import usable_cores
from recmem.dataset.candidate_frame import read_candidates
from recmem.ranking.ranker_inputs import input_matrix, ranker_inputs
from recmem.ranking.trees import Trees
from recmem.serving.file_scorer import score_candidates
from recmem.serving.model import Model
from recmem.serving.scoring import RANK_OUTPUTS, pairs_of

LARGE, N_TREES = {"num_leaves": 63, "objective": "binary", "verbose": -1, "min_data_in_leaf": 20}, 300
"""A ranker of the size that teams often have, on labels of chance: only its speed counts."""
SHARE = 0.2
"""Of each query's candidates, that the trees see in a cascade."""
N_FITTED = 200_000
"""Rows that it is fitted on."""


def batch_rows(bundle: Path, n_users: int, n_candidates: int) -> list[Row]:
    """Random candidates of random users of the bundle's store: all columns, the match alone, Parquet to Parquet.

    What is ranked in memory is checked against the ranker on its columns, and the file against memory.
    """
    model = recmem.load(bundle)
    rng = np.random.default_rng(0)
    known = model.dataset.users.to_numpy()
    users = rng.choice(known, n_users, replace=n_users > len(known)).repeat(n_candidates)
    items = rng.choice(model.dataset.catalogue.ids.to_numpy(), len(users))
    frame = pl.DataFrame({"user_id": users, "item_id": items})
    read = read_candidates(frame, model.dataset, RANK_OUTPUTS)
    pairs = pairs_of(model.matcher, read, np.arange(len(read.queries)))
    ranker, ranked = model.bundle.ranker, model.rank(frame)
    check_scores("score", ranked["score"].to_numpy(), ranker.scores(pairs)[read.pair_of_row])
    matrix = input_matrix(ranker_inputs(pairs, ranker.features), ranker.inputs)
    large = _with_large_ranker(model, matrix, rng)
    with TemporaryDirectory() as folder:
        given, out = Path(folder) / "candidates.parquet", Path(folder) / "scores.parquet"
        mixed, order = Path(folder) / "mixed.parquet", rng.permutation(len(frame))
        frame.write_parquet(given)
        frame[order].write_parquet(mixed)

        def score(path: Path) -> None:
            score_file(CandidateFiles.open(path), out, model.rank)

        def score_with_workers(n_workers: int) -> None:
            score_candidates(CandidateFiles.open(given), out, model.scorer(), workers=n_workers)

        for path, expected in ((given, ranked), (mixed, ranked[order])):
            score(path)
            check_scores("score of the file", pl.read_parquet(out)["score"].to_numpy(), expected["score"].to_numpy())
        n_workers = max(usable_cores(), 2)
        trees = f"{N_TREES} trees of {LARGE['num_leaves']} leaves"
        ways: dict[str, Callable[[], object]] = {
            f"LightGBM predict alone, {trees}": lambda: large.bundle.ranker.booster.predict(matrix),
            "LightGBM predict alone, this ranker's trees": lambda: ranker.booster.predict(matrix, raw_score=True),
            "recmem rank, whole path": lambda: model.rank(frame),
            f"recmem rank, whole path with {trees}": lambda: large.rank(frame),
            f"recmem rank, whole path with {trees}, of which they see {SHARE:.0%}": lambda: large.rank(
                frame, trees_share=SHARE
            ),
            "recmem rank, Parquet to Parquet": lambda: score(given),
            "recmem rank, Parquet to Parquet, rows in any order": lambda: score(mixed),
            "recmem match": lambda: model.match(frame),
        }
        if not model.scorer().why_one_process:
            # With their start, which takes seconds: compare the ways on a million rows a worker or more.
            name = f"recmem rank, Parquet to Parquet, {n_workers} workers"
            ways[name] = lambda: score_with_workers(n_workers)
        shape = f"{bundle.parent.name}: {n_users:,} users x {n_candidates} candidates"
        shape += f", {ranker.booster.num_trees()} trees"
        return compare("batch scoring", shape, ways, amount=len(frame), unit="rows/s", rounds=3)


def _with_large_ranker(model: Model, matrix: NDArray[np.float32], rng: np.random.Generator) -> Model:
    """The same model with a larger booster of the same features."""
    some = matrix[:N_FITTED]
    booster = lgb.train(LARGE, lgb.Dataset(some, rng.random(len(some)) < 0.1), num_boost_round=N_TREES)
    large = copy(model)
    large.bundle = replace(model.bundle, ranker=replace(model.bundle.ranker, trees=Trees.of(booster)))
    return large
