"""The price of a cascade: the test period ranked with trees that see a share of the candidates only."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from feature_store.arrays import Float64Array
from recmem.dataset.query_batch import QueryBatch
from recmem.serving.model import Model
from training.evaluation.intervals import paired_bootstrap
from training.evaluation.later_queries import LaterQueries
from training.evaluation.metrics import mean_over_queries

SHARES = (0.5, 0.2, 0.1, 0.0)
"""Of each query's candidates; 0 leaves the least number."""


@dataclass(frozen=True)
class CascadePrice:
    """NDCG@10 where the trees see `share` of each query's candidates, and its difference from that with all of them."""

    share: float
    seen: float
    """Share of all pairs that the trees saw."""
    figure: float
    difference: float
    ci95: tuple[float, float]
    """Of the difference: a paired bootstrap over users."""
    speed: float
    """Pairs ranked per second, over those without a cascade: of the ranker alone, measured once."""


@dataclass(frozen=True)
class Cascade:
    """The figure without a cascade, and what each share costs and gains."""

    queries: int
    test_from: str
    whole: float
    prices: tuple[CascadePrice, ...]


def price_of_cascade(
    model: Model,
    *,
    limit: int,
    generator: np.random.Generator,
    shares: Sequence[float] = SHARES,
    on_pass: Callable[[int], None] | None = None,
) -> Cascade:
    """Ranks at most `limit` queries after what the model has learned from, without a cascade and with every share.

    Raises DataError where the store holds no such query.
    """
    asked, ranker = LaterQueries.of(model, limit), model.bundle.ranker
    pairs = asked.pairs(QueryBatch.of(model.dataset, asked.queries.users, asked.queries.times))
    seed = int(generator.integers(2**32))

    def timed(share: float) -> tuple[Float64Array, float]:
        begin = time.perf_counter()
        scores = ranker.scores(pairs, trees_share=share)
        return scores, time.perf_counter() - begin

    timed(1.0)  # what is compiled or loaded at first use is not counted
    scores, whole_s = timed(1.0)
    whole, prices = asked.ndcg(pairs, scores, seed), []
    for share in shares:
        scores, taken_s = timed(share)
        figures = asked.ndcg(pairs, scores, seed)
        spread = paired_bootstrap(whole, figures, groups=asked.queries.users, generator=generator)
        seen = ranker.n_scored_by_trees(pairs, share) / len(scores)
        ci95 = (spread.low, spread.high)
        prices.append(CascadePrice(share, seen, mean_over_queries(figures), spread.difference, ci95, whole_s / taken_s))
        if on_pass is not None:
            on_pass(1)
    return Cascade(len(asked.queries), asked.since, mean_over_queries(whole), tuple(prices))
