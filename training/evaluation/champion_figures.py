"""The champion's figures on the challenger's test queries: the same queries, log and protocol, its own features.

Which of the champion's bundles is scored, and on which queries, is decided so that neither model has learned from what
it is asked: see `comparable_queries`, and docs/design.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from feature_store.arrays import BoolArray, Float64Array, IntArray
from feature_store.timestamps import iso_time
from recmem.dataset.dataset import DatasetConfig
from recmem.dataset.query_batch import QueryBatch
from recmem.ranking.given_features import candidate_features
from recmem.ranking.retrieved_features import retrieved_features
from recmem.serving.model import Model
from training.evaluation.catalogue_ranks import retrieved_ranks
from training.evaluation.ledger import HEADLINE_METRIC
from training.evaluation.metrics import PerQuery, impression_metrics, ndcg
from training.evaluation.promotion import FEWEST_USERS, Differences, differences
from training.evaluation.slices import PositiveSlice, positive_slices, query_slices
from training.evaluation.verdict import BundleKind
from training.fitting.fit_ranker import RankingData
from training.queries import ImpressionQueries, Queries, queries_of
from training.splits import Split
from training.training_data import TrainingData, labels_of


class OtherTaskError(ValueError):
    """The champion was trained to rank other items than the challenger."""


class TooFewQueriesError(ValueError):
    """Hardly a query lies after all that the champion has learned from."""


@dataclass(frozen=True, eq=False)
class AskedQueries:
    """Test queries with the challenger's figures on them."""

    queries: Queries
    shown: ImpressionQueries | None
    """The same queries as impressions, if that is what they are; `read_by` gives them the champion's own columns."""
    ndcg: PerQuery
    """The challenger's NDCG@10."""
    ranks: Float64Array | None
    """The challenger's rank of each positive, `inf` where it was not retrieved; None for impressions."""

    def take(self, rows: IntArray) -> AskedQueries:
        """The given queries, in the given order."""
        ranks = None if self.ranks is None else self.ranks[self.queries.positives.index_of(rows)]
        shown = None if self.shown is None else self.shown.take(rows)
        return AskedQueries(self.queries.take(rows), shown, self.ndcg[rows], ranks)

    def read_by(self, champion: Model, split: Split, limit: int) -> AskedQueries:
        """The same, with the columns of the impressions that are features of the champion, as its trees read them.

        To be called on all that `test_queries` draws with this split and limit. The champion is loaded over the same
        versions of the tables, so that users and items have the same rows.
        """
        if self.shown is None:
            return self
        shown = ImpressionQueries.of(champion.dataset)
        return replace(self, shown=None if shown is None else _of_test(shown, split, limit))


def test_queries(training_data: TrainingData, limit: int) -> tuple[Queries, ImpressionQueries | None]:
    """The test queries of a run, as its evaluation draws them."""
    split = training_data.split
    if training_data.shown is not None:
        shown = _of_test(training_data.shown, split, limit)
        return shown.queries(), shown
    return queries_of(training_data.dataset, split.test_from, split.test_until).spread(limit), None


# pytest would take the function for a test where a test file imports it.
test_queries.__test__ = False  # type: ignore[attr-defined]


def _of_test(shown: ImpressionQueries, split: Split, limit: int) -> ImpressionQueries:
    return shown.between(split.test_from, split.test_until).spread(limit)


def comparable_queries(asked: AskedQueries, learned_until: int, kind: BundleKind) -> AskedQueries:
    """The queries after all that the champion's bundle has learned from, which ends at `learned_until`.

    The challenger is measured as it was before its own test period, so all of them are new to it. Raises
    TooFewQueriesError if those of fewer than `FEWEST_USERS` users are left.
    """
    has_figure = ~np.isnan(asked.ndcg)
    later = asked.take(np.flatnonzero((asked.queries.times > learned_until) & has_figure))
    n_users = len(np.unique(later.queries.users))
    if n_users < FEWEST_USERS:
        kept = "" if kind == "measured" else ", and no model of it from before its own test period was kept"
        raise TooFewQueriesError(
            f"it has learned up to {iso_time(learned_until)}{kept}, and only {n_users} users have test queries after "
            f"that, fewer than {FEWEST_USERS}"
        )
    return later


def require_same_task(champion: DatasetConfig, challenger: DatasetConfig) -> None:
    """Raises OtherTaskError if one of the two ranks what users have had again, and the other only what is new."""
    if champion.repeats == challenger.repeats:
        return
    words = {True: "repeats too", False: "only items that are new to the user"}
    raise OtherTaskError(
        f"it was trained to rank {words[champion.repeats]}, and this one {words[challenger.repeats]} "
        "(--exclude-seen). To make this one champion all the same, train with --promote always"
    )


def against_champion(
    champion: Model,
    asked: AskedQueries,
    *,
    test_from: int,
    exclude_seen: bool,
    generator: np.random.Generator,
    on_query: Callable[[int], None] | None = None,
) -> Differences:
    """Ranks the queries with the champion, and compares it with the challenger.

    `champion` is loaded over the store, and the versions of its tables, that the queries are from; impressions are as
    `AskedQueries.read_by` gives them. `test_from` says which items are cold: those without an event up to then.
    """
    dataset = champion.dataset
    queries = asked.queries
    slices: dict[str, BoolArray | PositiveSlice] = {}
    if asked.shown is not None:
        figures = _impressions_ndcg(champion, asked.shown, generator, on_query)
    else:
        ranks = _catalogue_ranks(champion, queries, exclude_seen, generator, on_query)
        figures = ndcg(ranks, queries.positives.offsets, k=10)
        if asked.ranks is not None:
            slices |= positive_slices(dataset, queries, test_from, ranks, asked.ranks)
    slices |= query_slices(dataset, queries)
    return differences(figures, asked.ndcg, slices, queries.users, generator=generator)


def _catalogue_ranks(
    champion: Model,
    queries: Queries,
    exclude_seen: bool,
    generator: np.random.Generator,
    on_query: Callable[[int], None] | None,
) -> Float64Array:
    """Ranks of the positives among what the champion retrieves from the whole catalogue."""
    # What it retrieves is the champion's own; what a user may be shown is the protocol's.
    retrieval = replace(champion.bundle.config.retrieval, exclude_seen=exclude_seen)
    batch = QueryBatch.of(champion.dataset, queries.users, queries.times)
    pairs = retrieved_features(champion.dataset, champion.matcher, batch, retrieval, on_query)
    data = RankingData(pairs, labels_of(pairs, queries))
    return retrieved_ranks(champion.bundle.ranker.scores(pairs), data, queries.positives, generator)


def _impressions_ndcg(
    champion: Model,
    shown: ImpressionQueries,
    generator: np.random.Generator,
    on_query: Callable[[int], None] | None,
) -> PerQuery:
    batch = QueryBatch.of(champion.dataset, shown.users, shown.times)
    given = shown.given_features
    pairs = candidate_features(champion.dataset, champion.matcher, batch, shown.candidates, on_query, given)
    scores = champion.bundle.ranker.scores(pairs)
    return impression_metrics(scores, shown.labels, shown.candidates.offsets, generator=generator)[HEADLINE_METRIC]
