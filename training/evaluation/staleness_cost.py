"""What stale features cost: later queries ranked with memories and counters as they were some time before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np

from recmem.dataset.query_batch import QueryBatch
from recmem.serving.model import Model
from training.evaluation.intervals import paired_bootstrap
from training.evaluation.ledger import HEADLINE_METRIC, Interval
from training.evaluation.metrics import PerQuery, mean_over_queries
from training.evaluation.queries_after_training import QueriesAfterTraining
from training.queries import Queries

StalePart = Literal["memories and counters", "memories", "counters"]
STALE_PARTS: tuple[StalePart, ...] = get_args(StalePart)
MINUTE = 60 * 10**6
"""In microseconds."""
DELAYS = {"5 minutes": 5 * MINUTE, "1 hour": 60 * MINUTE, "1 day": 24 * 60 * MINUTE, "1 week": 7 * 24 * 60 * MINUTE}
"""How long before the query the last update was, in microseconds."""


@dataclass(frozen=True)
class DelayCost:
    """NDCG@10 with one part as it was `delay` before the query, and its difference from the fresh figure."""

    stale: StalePart
    delay: str
    figure: float
    difference: float
    ci95: Interval
    """Of the difference: a paired bootstrap over users."""


@dataclass(frozen=True)
class StalenessCost:
    """NDCG@10 with fresh features, and what each delay costs."""

    queries: int
    test_from: str
    """When the model's training data ends, ISO 8601: all queries come after it."""
    fresh: float
    """NDCG@10 without a delay."""
    costs: tuple[DelayCost, ...]

    def to_json(self) -> str:
        """All of it as a JSON object."""
        return json.dumps({"metric": HEADLINE_METRIC} | asdict(self), indent=1) + "\n"


def staleness_cost(
    model: Model, *, limit: int, generator: np.random.Generator, on_pass: Callable[[int], None] | None = None
) -> StalenessCost:
    """Ranks at most `limit` queries after the model's training, with fresh features and at each of `DELAYS`.

    Stale memories are the histories of that earlier time. Stale counters are everything else of that time: popularity,
    item-item models, the user's own counts, and the items that are left out because the user has them. Labels stay
    those of the query. `on_pass` is called with 1 after each pass over the queries.

    Raises DataError if the store holds no such query.
    """
    after = QueriesAfterTraining.of(model, limit)
    queries = after.queries
    fresh_batch = QueryBatch.of(model.dataset, queries.users, queries.times)
    # Every pass breaks ties alike, so that a difference is never one of tie-breaking.
    seed = int(generator.integers(2**32))
    fresh = _ndcg(after, fresh_batch, seed)
    costs = []
    for part, delay, batch in _passes(model, queries, fresh_batch):
        stale = _ndcg(after, batch, seed)
        change = paired_bootstrap(fresh, stale, groups=queries.users, generator=generator)
        costs.append(DelayCost(part, delay, mean_over_queries(stale), change.difference, (change.low, change.high)))
        if on_pass is not None:
            on_pass(1)
    return StalenessCost(len(queries), after.since, mean_over_queries(fresh), tuple(costs))


def _ndcg(after: QueriesAfterTraining, batch: QueryBatch, seed: int) -> PerQuery:
    pairs = after.pairs(batch)
    return after.ndcg(pairs, after.model.bundle.ranker.scores(pairs), seed)


def _passes(model: Model, queries: Queries, fresh: QueryBatch) -> Iterator[tuple[StalePart, str, QueryBatch]]:
    """For each delay and stale part: the same queries, with histories or times, or both, of the earlier time."""
    for delay, microseconds in DELAYS.items():
        earlier = QueryBatch.of(model.dataset, queries.users, queries.times - microseconds)
        # Counters are read at a batch's times, memories are its histories.
        yield "memories and counters", delay, earlier
        yield "memories", delay, QueryBatch(queries.users, fresh.times, earlier.histories)
        yield "counters", delay, QueryBatch(queries.users, earlier.times, fresh.histories)
