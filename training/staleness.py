"""The price of staleness: the test period ranked with memories and counters as they stood some time before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from feature_store import DataError
from recmem.columns import PairColumns, given_columns, retrieved_columns
from recmem.model import Model
from recmem.query_batch import QueryBatch
from training.evaluation import retrieved_ranks
from training.examples import Queries, queries_between
from training.intervals import paired_bootstrap
from training.measure import END_OF_TIME
from training.metrics import PerQuery, impression_metrics, mean_over_queries, ndcg
from training.ranker import RankingData
from training.world import Shown, labels_of, moment

Stale = Literal["memories and counters", "memories", "counters"]
STALE: tuple[Stale, ...] = get_args(Stale)
MINUTE = 60 * 10**6
DELAYS = {"5 minutes": 5 * MINUTE, "1 hour": 60 * MINUTE, "1 day": 24 * 60 * MINUTE, "1 week": 7 * 24 * 60 * MINUTE}
"""How long before the query what is read was last fed, microseconds."""
METRIC = "ndcg@10"


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
    asked = _Asked.of(model, limit)
    if not len(asked.queries):
        since = moment(model.bundle.config.learned_until)
        raise DataError(f"events.timestamp: expected queries after {since}, got none. Ingest what has come since.")
    batch = QueryBatch.of(model.scene, asked.queries.users, asked.queries.times)
    seed = int(generator.integers(2**32))
    fresh, prices = asked.ndcg(batch, seed), []
    for stale, delay, then in _passes(model, asked.queries, batch):
        figures = asked.ndcg(then, seed)
        spread = paired_bootstrap(fresh, figures, groups=asked.queries.users, generator=generator)
        prices.append(Price(stale, delay, mean_over_queries(figures), spread.difference, (spread.low, spread.high)))
        if on_pass is not None:
            on_pass(1)
    since = moment(model.bundle.config.learned_until)
    return Staleness(len(asked.queries), since, mean_over_queries(fresh), tuple(prices))


def _passes(model: Model, queries: Queries, fresh: QueryBatch) -> Iterator[tuple[Stale, str, QueryBatch]]:
    for delay, microseconds in DELAYS.items():
        before = QueryBatch.of(model.scene, queries.users, queries.times - microseconds)
        batches = (
            before,
            QueryBatch(queries.users, fresh.times, before.histories),
            QueryBatch(queries.users, before.times, fresh.histories),
        )
        yield from ((stale, delay, batch) for stale, batch in zip(STALE, batches, strict=True))


@dataclass(frozen=True, eq=False)
class _Asked:
    """The queries and their labels: of impressions where there are any, else new items from the whole catalogue."""

    model: Model
    queries: Queries
    shown: Shown | None

    @classmethod
    def of(cls, model: Model, limit: int) -> _Asked:
        begin, shown = model.bundle.config.learned_until, Shown.of(model.scene)
        if shown is None:
            queries = queries_between(model.scene.log, begin, END_OF_TIME, recalled=model.scene.recalled)
            return cls(model, queries.spread(limit), None)
        late = shown.between(begin, END_OF_TIME).spread(limit)
        return cls(model, late.queries(), late)

    def ndcg(self, batch: QueryBatch, seed: int) -> PerQuery:
        """NDCG@10 of each query, ranked by what is read for `batch`; ties are broken by the seed."""
        model, generator = self.model, np.random.default_rng(seed)
        if self.shown is not None:
            pairs = given_columns(model.scene, model.matcher, batch, self.shown.candidates)
            offsets, labels = pairs.candidates.offsets, self.shown.labels
            return impression_metrics(self._scores(pairs), labels, offsets, generator=generator)[METRIC]
        pairs = retrieved_columns(model.scene, model.matcher, batch, model.bundle.config.retrieval)
        data, positives = RankingData(pairs, labels_of(pairs, self.queries)), self.queries.positives
        return ndcg(retrieved_ranks(self._scores(pairs), data, positives, generator), positives.offsets, k=10)

    def _scores(self, pairs: PairColumns) -> NDArray[np.float64]:
        return self.model.bundle.ranker.scores(pairs)
