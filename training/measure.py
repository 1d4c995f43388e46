"""Measures a run on its test window: every ranking on the same queries, gathered into the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_store import DataError
from recmem.matcher import Matcher
from recmem.ranker import Ranker
from training.baselines import BASELINES, popularity_columns
from training.config import TrainingConfig
from training.evaluation import (
    CatalogueRanks,
    positive_slices,
    query_slices,
    recall_at,
    retrieved_ranks,
    whole_catalogue_ranks,
)
from training.examples import Queries
from training.ledger import (
    WITH_MATCH,
    WITHOUT_MATCH,
    Ledger,
    PositiveSlice,
    Protocol,
    TestFigures,
    build_ledger,
    digest_of_queries,
)
from training.metrics import PerQuery, impression_metrics
from training.ranker import RankingData
from training.world import World, moment, ranking_data

END_OF_TIME = int(np.iinfo(np.int64).max // 2)
Slices = dict[str, NDArray[np.bool_] | PositiveSlice]


@dataclass(frozen=True, eq=False)
class Measured:
    """The ledger, and the figures per query that a later champion is compared by."""

    ledger: Ledger
    figures: TestFigures


def measure(
    world: World,
    matcher: Matcher,
    rankers: dict[str, Ranker],
    pooling: str,
    config: TrainingConfig,
    on_query: Callable[[int], None] | None = None,
) -> Measured:
    """Ranks the test queries with every baseline, the match score and both rankers.

    Raises DataError when the test period holds no query.
    """
    test_from = world.split.test_from
    queries, data = ranking_data(world, matcher, test_from, END_OF_TIME, config.test_queries, config, on_query)
    if not len(queries):
        raise DataError(
            f"events.timestamp: expected users with earlier events who turn to new items after {moment(test_from)}, got "
            "none. Give a longer log."
        )
    rows = BASELINES | {"frozen_cosine": pooling}
    generator = np.random.default_rng(config.seed)
    if world.shown is None:
        per_query, slices, retrieval = _on_catalogue(world, matcher, rankers, queries, data, rows, config, generator)
    else:
        per_query, slices, retrieval = _on_impressions(world, rankers, queries, data, rows, generator)
    slices |= query_slices(world.scene, queries)
    protocol = Protocol(
        queries=len(queries),
        catalogue=len(world.scene.catalogue),
        test_from=moment(test_from),
        candidates="catalogue" if world.shown is None else "impressions",
        users=len(np.unique(queries.users)),
        positives=len(queries.positives.values),
        exclude_seen=config.retrieval.exclude_seen,
        test_digest=_digest(world, queries),
    )
    ledger = build_ledger(protocol, per_query, slices, queries.users, generator=generator, retrieval=retrieval)
    return Measured(ledger, TestFigures(protocol.test_digest, queries.users, per_query[WITH_MATCH]))


def _on_catalogue(
    world: World,
    matcher: Matcher,
    rankers: dict[str, Ranker],
    queries: Queries,
    data: RankingData,
    rows: dict[str, str],
    config: TrainingConfig,
    generator: np.random.Generator,
) -> tuple[dict[str, dict[str, PerQuery]], Slices, dict[str, float]]:
    scene, test_from = world.scene, world.split.test_from
    ranks, n_ranked = whole_catalogue_ranks(
        scene,
        matcher,
        queries,
        rows,
        test_from=test_from,
        exclude_seen=config.retrieval.exclude_seen,
        generator=generator,
    )
    for name, ranker in rankers.items():
        ranks[name] = retrieved_ranks(ranker.scores(data.pairs), data, queries.positives, generator)
    found = CatalogueRanks(ranks, queries.positives, n_ranked, data.pairs.candidates.lengths)
    per_query = {name: found.metrics(name, retrieved=name in rankers) for name in ranks}
    slices: Slices = {}
    slices |= positive_slices(scene, queries, test_from, ranks[WITHOUT_MATCH], ranks[WITH_MATCH])
    recalls = {f"recall@{k}": recall_at(data, queries.positives, k) for k in (50, 200, config.retrieval.candidates)}
    return per_query, slices, recalls


def _on_impressions(
    world: World,
    rankers: dict[str, Ranker],
    queries: Queries,
    data: RankingData,
    rows: dict[str, str],
    generator: np.random.Generator,
) -> tuple[dict[str, dict[str, PerQuery]], Slices, dict[str, float]]:
    pairs = data.pairs
    columns = pairs.values | popularity_columns(world.scene.log, world.split.test_from, pairs.candidates)
    scores: dict[str, NDArray[np.floating]] = {name: columns[column] for name, column in rows.items()}
    scores |= {name: ranker.scores(pairs) for name, ranker in rankers.items()}
    offsets = pairs.candidates.offsets
    per_query = {
        name: impression_metrics(score, data.labels, offsets, generator=generator) for name, score in scores.items()
    }
    return per_query, {}, {}


def _digest(world: World, queries: Queries) -> str:
    users = world.scene.users.gather(queries.users).cast(str).to_numpy()
    items = world.scene.catalogue.ids.gather(queries.positives.values).cast(str).to_numpy()
    return digest_of_queries(users, queries.times, queries.positives.offsets, items)
