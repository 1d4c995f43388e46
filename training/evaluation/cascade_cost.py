"""What a cascade costs and gains: later queries ranked with trees that score only a share of the candidates."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from feature_store.arrays import Float64Array
from recmem.dataset.query_batch import QueryBatch
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Ranker
from recmem.serving.model import Model
from training.evaluation.intervals import paired_bootstrap
from training.evaluation.ledger import Interval
from training.evaluation.metrics import mean_over_queries
from training.evaluation.queries_after_training import QueriesAfterTraining

TREE_SHARES = (0.5, 0.2, 0.1, 0.0)
"""Shares of each query's candidates that the trees score; 0 for the fewest that the ranker allows."""


@dataclass(frozen=True)
class ShareCost:
    """NDCG@10 if the trees score `share` of each query's candidates, and its difference from that of all of them."""

    share: float
    scored_by_trees: float
    """Share of all pairs that the trees scored."""
    figure: float
    difference: float
    ci95: Interval
    """Of the difference: a paired bootstrap over users."""
    speed_up: float
    """Pairs ranked per second, relative to no cascade: the ranker alone, timed once."""


@dataclass(frozen=True)
class CascadeCost:
    """NDCG@10 without a cascade, and what each share costs and gains."""

    queries: int
    test_from: str
    """When the model's training data ends, ISO 8601: all queries come after it."""
    all_by_trees: float
    """NDCG@10 without a cascade."""
    costs: tuple[ShareCost, ...]


def cascade_cost(
    model: Model,
    *,
    limit: int,
    generator: np.random.Generator,
    shares: Sequence[float] = TREE_SHARES,
    on_pass: Callable[[int], None] | None = None,
) -> CascadeCost:
    """Ranks at most `limit` queries after the model's training, without a cascade and with every share.

    `on_pass` is called with 1 after each share. Raises DataError if the store holds no such query.
    """
    after = QueriesAfterTraining.of(model, limit)
    queries = after.queries
    ranker = model.bundle.ranker
    pairs = after.pairs(QueryBatch.of(model.dataset, queries.users, queries.times))
    # Every pass breaks ties alike, so that a difference is never one of tie-breaking.
    seed = int(generator.integers(2**32))
    _timed_scores(ranker, pairs, 1.0)  # compiles and loads what the first use needs
    scores, all_s = _timed_scores(ranker, pairs, 1.0)
    all_by_trees = after.ndcg(pairs, scores, seed)
    costs = []
    for share in shares:
        scores, share_s = _timed_scores(ranker, pairs, share)
        figures = after.ndcg(pairs, scores, seed)
        change = paired_bootstrap(all_by_trees, figures, groups=queries.users, generator=generator)
        costs.append(
            ShareCost(
                share=share,
                scored_by_trees=ranker.n_scored_by_trees(pairs, share) / len(scores),
                figure=mean_over_queries(figures),
                difference=change.difference,
                ci95=(change.low, change.high),
                speed_up=all_s / share_s,
            )
        )
        if on_pass is not None:
            on_pass(1)
    return CascadeCost(len(queries), after.since, mean_over_queries(all_by_trees), tuple(costs))


def _timed_scores(ranker: Ranker, pairs: PairFeatures, share: float) -> tuple[Float64Array, float]:
    """Scores of all pairs, and the seconds that they took."""
    begin = time.perf_counter()
    scores = ranker.scores(pairs, trees_share=share)
    return scores, time.perf_counter() - begin
