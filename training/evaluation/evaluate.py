"""Measures a run on its test window: every ranking on the same queries, gathered into the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_store import DataError
from feature_store.arrays import BoolArray
from feature_store.timestamps import iso_time
from recmem.matching.matcher import Matcher
from recmem.ranking.ranker import Ranker
from training.config import TrainingConfig
from training.evaluation.baselines import BASELINES, popularity_features
from training.evaluation.ledger import (
    WITH_MATCH,
    WITHOUT_MATCH,
    Ledger,
    PositiveSlice,
    Protocol,
    TestFigures,
    build_ledger,
    digest_of_queries,
)
from training.evaluation.metrics import PerQuery, impression_metrics
from training.evaluation.positive_ranks import (
    CatalogueRanks,
    GridRanks,
    positive_slices,
    query_slices,
    recall_at,
    retrieved_ranks,
)
from training.fitting.fit_ranker import RankingData
from training.queries import Queries, queries_between
from training.training_data import TrainingData, ranking_data, retrieved_data

END_OF_TIME = int(np.iinfo(np.int64).max // 2)
Slices = dict[str, BoolArray | PositiveSlice]


@dataclass(frozen=True, eq=False)
class Measured:
    """The ledger, and the figures per query that a later champion is compared by."""

    ledger: Ledger
    figures: TestFigures


def measure(
    training_data: TrainingData,
    matcher: Matcher,
    rankers: dict[str, Ranker],
    pooling: str,
    config: TrainingConfig,
    on_query: Callable[[int], None] | None = None,
) -> Measured:
    """Ranks the test queries with every baseline, the match score and both rankers.

    Raises DataError when the test period holds no query.
    """
    test_from = training_data.split.test_from
    rows = BASELINES | {"text_similarity": pooling}
    generator = np.random.default_rng(config.seed)
    if training_data.shown is None:
        dataset = training_data.dataset
        queries = queries_between(dataset.log, test_from, END_OF_TIME, cancelled=dataset.cancelled).spread(
            config.test_queries
        )
        _refuse_empty(queries, test_from)
        grid = GridRanks(training_data.dataset, queries, rows, test_from, config.retrieval.exclude_seen, generator)
        data = retrieved_data(training_data, matcher, queries, config, on_query, grid)
        per_query, slices, retrieval = _on_catalogue(training_data, grid, rankers, data, config)
    else:
        queries, data = ranking_data(
            training_data, matcher, test_from, END_OF_TIME, config.test_queries, config, on_query
        )
        _refuse_empty(queries, test_from)
        per_query, slices, retrieval = _on_impressions(training_data, rankers, queries, data, rows, generator)
    slices |= query_slices(training_data.dataset, queries)
    protocol = Protocol(
        queries=len(queries),
        catalogue=len(training_data.dataset.catalogue),
        test_from=iso_time(test_from),
        candidates="catalogue" if training_data.shown is None else "impressions",
        users=len(np.unique(queries.users)),
        positives=len(queries.positives.values),
        exclude_seen=config.retrieval.exclude_seen,
        test_digest=_digest(training_data, queries),
    )
    ledger = build_ledger(protocol, per_query, slices, queries.users, generator=generator, retrieval=retrieval)
    return Measured(ledger, TestFigures(protocol.test_digest, queries.users, per_query[WITH_MATCH]))


def _refuse_empty(queries: Queries, test_from: int) -> None:
    if not len(queries):
        raise DataError(
            f"events.timestamp: expected users with earlier events who turn to new items after {iso_time(test_from)}, "
            "got none. Give a longer log."
        )


def _on_catalogue(
    training_data: TrainingData, grid: GridRanks, rankers: dict[str, Ranker], data: RankingData, config: TrainingConfig
) -> tuple[dict[str, dict[str, PerQuery]], Slices, dict[str, float]]:
    positives = grid.queries.positives
    ranks = {name: np.concatenate(parts) for name, parts in grid.ranks.items()}
    for name, ranker in rankers.items():
        ranks[name] = retrieved_ranks(ranker.scores(data.pairs), data, positives, grid.generator)
    found = CatalogueRanks(ranks, positives, np.array(grid.n_ranked), data.pairs.candidates.lengths)
    per_query = {name: found.metrics(name, retrieved=name in rankers) for name in ranks}
    slices: Slices = dict(
        positive_slices(training_data.dataset, grid.queries, grid.test_from, ranks[WITHOUT_MATCH], ranks[WITH_MATCH])
    )
    recalls = {f"recall@{k}": recall_at(data, positives, k) for k in (50, 200, config.retrieval.candidates)}
    return per_query, slices, recalls


def _on_impressions(
    training_data: TrainingData,
    rankers: dict[str, Ranker],
    queries: Queries,
    data: RankingData,
    rows: dict[str, str],
    generator: np.random.Generator,
) -> tuple[dict[str, dict[str, PerQuery]], Slices, dict[str, float]]:
    pairs = data.pairs
    columns = pairs.values | popularity_features(
        training_data.dataset.log, training_data.split.test_from, pairs.candidates
    )
    scores: dict[str, NDArray[np.floating]] = {name: columns[column] for name, column in rows.items()}
    scores |= {name: ranker.scores(pairs) for name, ranker in rankers.items()}
    offsets = pairs.candidates.offsets
    per_query = {
        name: impression_metrics(score, data.labels, offsets, generator=generator) for name, score in scores.items()
    }
    return per_query, {}, {}


def _digest(training_data: TrainingData, queries: Queries) -> str:
    users = training_data.dataset.users.gather(queries.users).cast(str).to_numpy()
    items = training_data.dataset.catalogue.ids.gather(queries.positives.values).cast(str).to_numpy()
    return digest_of_queries(users, queries.times, queries.positives.offsets, items)
