"""From ids to scores on a device: each part, and all of it, beside the same on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl
import torch

import recmem
from benchmarks.agreement import Agreement
from benchmarks.timing import Row, compare
from recmem.dataset.candidate_frame import Candidates, read_candidates
from recmem.on_device.device_features import device_features
from recmem.on_device.device_ranker import DeviceRanker
from recmem.on_device.segments import Segments, z_scores
from recmem.on_device.trees import tree_sums
from recmem.ranking.feature_computation import FeatureContext
from recmem.ranking.feature_names import compared_features
from recmem.ranking.normalise import z_scores as z_scores_cpu
from recmem.ranking.pair_features import PairFeatures, compute_features
from recmem.ranking.ranker_inputs import input_matrix, ranker_inputs
from recmem.serving import scoring
from recmem.serving.model import Model
from recmem.serving.scoring import RANK_OUTPUTS

SMALL_ROUNDS = 100
"""How often one user's request is timed, which takes a few milliseconds."""


def device_rows(bundle: Path, n_users: int, n_candidates: int, device: str = "cuda") -> Iterator[list[Row]]:
    """Random candidates of random users of the bundle's store.

    Before anything is timed, ranks and scores of both devices are compared; the last rows say how far they agree.
    """
    model = recmem.load(bundle, device=device)
    random = np.random.default_rng(0)
    users = random.choice(model.dataset.users.to_numpy(), n_users).repeat(n_candidates)
    items = random.choice(model.dataset.catalogue.ids.to_numpy(), len(users))
    frame = pl.DataFrame({"user_id": users, "item_id": items})
    read = read_candidates(frame, model.dataset, RANK_OUTPUTS)
    alone = recmem.load(bundle, device="cpu")
    on_device = ranked(model, frame, on_device=True)
    agreement = Agreement.of(ranked(model, frame, on_device=False), on_device)
    agreement.check()
    # Here the match is another kernel's too: said, not checked.
    agreement_alone = Agreement.of(alone.rank(frame), on_device)
    name = f"{bundle.parent.name}: {n_users:,} users x {n_candidates} candidates"

    def context() -> FeatureContext:
        # A new one each time: it keeps what was computed.
        return FeatureContext(model.dataset, model.matcher, read.queries, read.items)

    def rows_of(what: str, ways: dict[str, Callable[[], object]]) -> list[Row]:
        return compare(what, name, ways, amount=len(frame), unit="rows/s", rounds=3)

    with torch.inference_mode():
        yield rows_of(
            "features",
            {
                "on the CPU but for the match": lambda: compute_features(context()),
                "on the device": lambda: device_features(context()),
            },
        )
        yield _ranker_rows(model, compute_features(context()), read, rows_of)
    ways: dict[str, Callable[[], object]] = {
        "on the CPU alone": lambda: alone.rank(frame),
        "on the CPU but for the match": lambda: ranked(model, frame, on_device=False),
        "on the device": lambda: ranked(model, frame, on_device=True),
        "reading ids alone": lambda: read_candidates(frame, model.dataset, RANK_OUTPUTS),
    }
    notes = {"on the CPU alone": str(agreement_alone), "on the CPU but for the match": str(agreement)}
    rows = rows_of("from ids to scores", ways)
    yield [replace(row, note=notes[row.way]) if row.way in notes else row for row in rows]


def one_user_rows(bundle: Path, n_candidates: int, device: str = "cuda") -> Iterator[list[Row]]:
    """One user's candidates, from ids to scores: too few for the device, which computes the match alone."""
    models = {way: recmem.load(bundle, device=name) for way, name in (("on the CPU", "cpu"), ("on the device", device))}
    model = models["on the CPU"]
    random = np.random.default_rng(0)
    user = random.choice(model.dataset.users.to_numpy())
    items = random.choice(model.dataset.catalogue.ids.to_numpy(), n_candidates)
    frame = pl.DataFrame({"user_id": [user] * n_candidates, "item_id": items})
    read = read_candidates(frame, model.dataset, RANK_OUTPUTS)
    name = f"{bundle.parent.name}: 1 user x {n_candidates} candidates"

    def rows_of(what: str, call: Callable[[Model], object]) -> list[Row]:
        ways = {way: partial(call, model) for way, model in models.items()}
        rows = compare(what, name, ways, amount=1, unit="calls/s", rounds=SMALL_ROUNDS)
        return [replace(row, note=f"{1000 / row.rate:.2f} ms a call") for row in rows]

    yield rows_of("match features", lambda model: model.matcher.pair_features(read.queries.histories, read.items))
    yield rows_of("Model.match", lambda model: model.match(frame))
    yield rows_of("Model.rank", lambda model: model.rank(frame))


def _ranker_rows(
    model: Model,
    pairs: PairFeatures,
    read: Candidates,
    rows_of: Callable[[str, dict[str, Callable[[], object]]], list[Row]],
) -> list[Row]:
    """z-scores, trees and the whole ranker, from features on."""
    ranker = model.bundle.ranker
    device = model.matcher.device
    on_device = DeviceRanker.of(ranker, device)
    queries = Segments.of(read.items, device)
    features = {name: torch.from_numpy(column).to(device) for name, column in pairs.values.items()}
    matrix = input_matrix(ranker_inputs(pairs, ranker.features), ranker.inputs)
    matrix_on_device = torch.from_numpy(matrix).to(device)
    compared = np.stack([pairs.values[name] for name in compared_features(ranker.features)])
    compared_on_device = torch.from_numpy(compared.T.copy()).to(device)
    n_threads = torch.get_num_threads()
    tree_ways: dict[str, Callable[[], object]] = {
        "on the CPU": lambda: ranker.trees.scores(matrix, n_threads=n_threads),
        "on the device, torch": lambda: tree_sums(on_device.trees, matrix_on_device, backend="torch"),
    }
    if device.type == "cuda":
        tree_ways["on the device"] = lambda: tree_sums(on_device.trees, matrix_on_device)
    n_trees = len(on_device.trees.depths)
    return [
        *rows_of(
            f"z-scores of {len(compared)} features",
            {
                "on the CPU": lambda: z_scores_cpu(compared, read.items.offsets),
                "on the device": lambda: z_scores(compared_on_device, queries),
            },
        ),
        *rows_of(f"{n_trees} trees", tree_ways),
        *rows_of(
            "ranker",
            {
                "on the CPU": lambda: ranker.scores(pairs),
                "on the device": lambda: on_device.scores(features, queries),
            },
        ),
    ]


def ranked(model: Model, frame: pl.DataFrame, *, on_device: bool) -> pl.DataFrame:
    """`Model.rank`, with all but the match on the CPU, or with everything on the device."""
    with mock.patch.object(scoring, "ranks_on_device", return_value=on_device):
        return model.rank(frame)
