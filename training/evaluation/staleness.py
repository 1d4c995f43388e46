"""The price of staleness: the test period ranked with memories and counters as they stood some time before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np

from recmem.dataset.query_batch import QueryBatch
from recmem.serving.model import Model
from training.evaluation.intervals import paired_bootstrap
from training.evaluation.later_queries import METRIC, LaterQueries
from training.evaluation.metrics import PerQuery, mean_over_queries
from training.queries import Queries

Stale = Literal["memories and counters", "memories", "counters"]
STALE: tuple[Stale, ...] = get_args(Stale)
MINUTE = 60 * 10**6
DELAYS = {"5 minutes": 5 * MINUTE, "1 hour": 60 * MINUTE, "1 day": 24 * 60 * MINUTE, "1 week": 7 * 24 * 60 * MINUTE}
"""How long before the query what is read was last fed, microseconds."""


@dataclass(frozen=True)
class Price:
    """NDCG@10 with one part of what is read as it stood `delay` before, and its difference from the fresh one."""

    stale: Stale
    delay: str
    figure: float
    difference: float
    ci95: tuple[float, float]
    """Of the difference: a paired bootstrap over users."""


@dataclass(frozen=True)
class Staleness:
    """The fresh figure and what each delay costs."""

    queries: int
    test_from: str
    fresh: float
    prices: tuple[Price, ...]

    def to_json(self) -> str:
        """All of it as a JSON object."""
        return json.dumps({"metric": METRIC} | asdict(self), indent=1) + "\n"


def price_of_staleness(
    model: Model, *, limit: int, generator: np.random.Generator, on_pass: Callable[[int], None] | None = None
) -> Staleness:
    """Ranks at most `limit` queries after what the model has learned from, fresh and at every one of `DELAYS`.

    Stale memories are the histories of then. Stale counters are everything else of then: popularity, item-item models,
    the user's own counts, and what the user has already and is left out. Labels stay those of the query.

    Raises DataError where the store holds no such query.
    """
    asked = LaterQueries.of(model, limit)
    batch = QueryBatch.of(model.dataset, asked.queries.users, asked.queries.times)
    seed = int(generator.integers(2**32))
    fresh, prices = _ndcg(asked, batch, seed), []
    for stale, delay, then in _passes(model, asked.queries, batch):
        figures = _ndcg(asked, then, seed)
        spread = paired_bootstrap(fresh, figures, groups=asked.queries.users, generator=generator)
        prices.append(Price(stale, delay, mean_over_queries(figures), spread.difference, (spread.low, spread.high)))
        if on_pass is not None:
            on_pass(1)
    return Staleness(len(asked.queries), asked.since, mean_over_queries(fresh), tuple(prices))


def _ndcg(asked: LaterQueries, batch: QueryBatch, seed: int) -> PerQuery:
    pairs = asked.pairs(batch)
    return asked.ndcg(pairs, asked.model.bundle.ranker.scores(pairs), seed)


def _passes(model: Model, queries: Queries, fresh: QueryBatch) -> Iterator[tuple[Stale, str, QueryBatch]]:
    for delay, microseconds in DELAYS.items():
        before = QueryBatch.of(model.dataset, queries.users, queries.times - microseconds)
        batches = (
            before,
            QueryBatch(queries.users, fresh.times, before.histories),
            QueryBatch(queries.users, before.times, fresh.histories),
        )
        yield from ((stale, delay, batch) for stale, batch in zip(STALE, batches, strict=True))
