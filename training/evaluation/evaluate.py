"""Evaluates a run on its test period: every ranking on the same queries, gathered into the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from feature_store import DataError
from feature_store.arrays import BoolArray, Float64Array
from feature_store.timestamps import iso_time
from recmem.matching.matcher import Matcher
from recmem.ranking.ranker import Ranker
from recmem.retrieval.interleave import REPEATS
from training.config import TrainingConfig
from training.evaluation.auc_figures import AucPerQuery
from training.evaluation.baselines import BASELINES, CLICK_THROUGH, HAD_BEFORE, popularity_features
from training.evaluation.build_ledger import build_ledger
from training.evaluation.catalogue_ranks import (
    CatalogueRankCollector,
    CatalogueRanks,
    recall_at,
    retrieved_ranks,
)
from training.evaluation.ledger import WITH_MATCH, WITH_SIMILARITY, WITHOUT_MATCH, HeldOut, Ledger, Protocol
from training.evaluation.metrics import PerQuery, impression_metrics
from training.evaluation.promotion import TestFigures, digest_of_queries
from training.evaluation.seed_spread import seed_spread
from training.evaluation.slices import PositiveSlice, positive_slices, query_slices
from training.fitting.fit_ranker import RankingData
from training.queries import Queries, queries_of
from training.training_data import TrainingData, ranking_data, retrieved_data

RECALL_AT = (50, 200)
"""Recall of the retrieval is reported for this many candidates, and for as many as the rankers score."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The ledger, and the figures per query that a later model is compared with."""

    ledger: Ledger
    figures: TestFigures
    ranks: Float64Array | None
    """Rank of each positive under the ranker that ships, `inf` where it was not retrieved; None for impressions."""
    data: RankingData
    """The test queries' pairs, as the rankers scored them."""
    auc: AucPerQuery | None = None
    """AUC of each impression; None without impressions."""


@dataclass(frozen=True, eq=False)
class _RankedQueries:
    """The test queries and what each ranking makes of them."""

    queries: Queries
    data: RankingData
    """The candidates that the rankers score."""
    per_query: dict[str, dict[str, PerQuery]]
    """Row of the ledger -> metric -> figure of each query."""
    slices: dict[str, PositiveSlice]
    retrieval: dict[str, float]
    """Recall of the candidates."""
    ranks: dict[str, Float64Array]
    """Row of the ledger -> rank of each positive; empty for impressions."""


def evaluate_rankings(
    training_data: TrainingData,
    matcher: Matcher,
    rankers: dict[str, Ranker],
    pooling: str,
    config: TrainingConfig,
    held_out: HeldOut | None = None,
    members: Sequence[Matcher] = (),
    on_query: Callable[[int], None] | None = None,
) -> Evaluation:
    """Ranks the test queries with every baseline, the match score and all rankers.

    `pooling` is the similarity feature that stands for untrained text similarity. `held_out` says which
    ranker ships (None: the one with text features): the figures per query are that one's.
    `members` are the match modules of which `matcher` is the mean, for the spread over seeds; none for no spread.
    Raises DataError if the test period has no query.
    """
    generator = np.random.default_rng(config.seed)
    rank = _rank_catalogue if training_data.shown is None else _rank_impressions
    baselines = BASELINES | {"text_similarity": pooling}
    if training_data.dataset.config.repeats:
        baselines |= {HAD_BEFORE: REPEATS if training_data.shown is None else "times_had"}
    ranked = rank(training_data, matcher, rankers, baselines, config, on_query, generator)
    queries = ranked.queries
    protocol = _protocol(training_data, queries, config)
    slices: dict[str, BoolArray | PositiveSlice] = ranked.slices | query_slices(training_data.dataset, queries)
    ledger = build_ledger(
        protocol, ranked.per_query, slices, queries.users, generator=generator, retrieval=ranked.retrieval
    )
    seeds = seed_spread(
        training_data.dataset,
        queries,
        ranked.data,
        members,
        rankers,
        tree_members=config.tree_members,
        seed=config.seed,
    )
    ledger = replace(ledger, held_out=held_out, seeds=seeds)
    figures = TestFigures(protocol.test_digest, queries.users, ranked.per_query[ledger.ships])
    auc = None
    if training_data.shown is not None:
        ranker = ranked.per_query[WITH_MATCH]["auc"]
        auc = AucPerQuery(queries.users, ranker, ranked.per_query[CLICK_THROUGH]["auc"])
    return Evaluation(ledger, figures, ranked.ranks.get(ledger.ships), ranked.data, auc)


def _rank_catalogue(
    training_data: TrainingData,
    matcher: Matcher,
    rankers: dict[str, Ranker],
    baselines: dict[str, str],
    config: TrainingConfig,
    on_query: Callable[[int], None] | None,
    generator: np.random.Generator,
) -> _RankedQueries:
    """Baselines rank the whole catalogue; the rankers rank what was retrieved from it, and the rest is missed."""
    dataset = training_data.dataset
    test_from = training_data.split.test_from
    test_until = training_data.split.test_until
    queries = queries_of(dataset, test_from, test_until).spread(config.test_queries)
    _refuse_empty(queries, test_from)
    collector = CatalogueRankCollector(dataset, queries, baselines, test_from, config.retrieval.exclude_seen, generator)
    data = retrieved_data(training_data, matcher, queries, config, on_query, collector)
    positives = queries.positives
    ranks = {name: np.concatenate(parts) for name, parts in collector.ranks.items()}
    for name, ranker in rankers.items():
        ranks[name] = retrieved_ranks(ranker.scores(data.pairs), data, positives, _ties(name, generator, config.seed))
    in_catalogue = CatalogueRanks(ranks, positives, np.array(collector.n_ranked), data.pairs.candidates.lengths)
    return _RankedQueries(
        queries,
        data,
        per_query={name: in_catalogue.metrics(name, retrieved=name in rankers) for name in ranks},
        slices=positive_slices(dataset, queries, test_from, ranks[WITHOUT_MATCH], ranks[WITH_MATCH]),
        retrieval={f"recall@{k}": recall_at(data, positives, k) for k in (*RECALL_AT, config.retrieval.candidates)},
        ranks=ranks,
    )


def _rank_impressions(
    training_data: TrainingData,
    matcher: Matcher,
    rankers: dict[str, Ranker],
    baselines: dict[str, str],
    config: TrainingConfig,
    on_query: Callable[[int], None] | None,
    generator: np.random.Generator,
) -> _RankedQueries:
    """Every ranking orders the items that an impression showed."""
    test_from = training_data.split.test_from
    test_until = training_data.split.test_until
    queries, data = ranking_data(training_data, matcher, test_from, test_until, config.test_queries, config, on_query)
    _refuse_empty(queries, test_from)
    pairs = data.pairs
    features = pairs.values | popularity_features(training_data.dataset.log, test_from, pairs.candidates)
    baselines = baselines | {CLICK_THROUGH: CLICK_THROUGH}
    scores: dict[str, NDArray[np.floating]] = {name: features[feature] for name, feature in baselines.items()}
    scores |= {name: ranker.scores(pairs) for name, ranker in rankers.items()}
    offsets = pairs.candidates.offsets
    per_query = {
        name: impression_metrics(ranking, data.labels, offsets, generator=_ties(name, generator, config.seed))
        for name, ranking in scores.items()
    }
    return _RankedQueries(queries, data, per_query, slices={}, retrieval={}, ranks={})


def _ties(name: str, generator: np.random.Generator, seed: int) -> np.random.Generator:
    """Breaks the ties of a ranking. Those that were added later draw on their own: they must not move the others'."""
    own = {WITH_SIMILARITY: 1, CLICK_THROUGH: 2, HAD_BEFORE: 3}
    return np.random.default_rng([seed, own[name]]) if name in own else generator


def _refuse_empty(queries: Queries, test_from: int) -> None:
    if not len(queries):
        raise DataError(
            "events.timestamp: expected users with earlier events who interact with new items after "
            f"{iso_time(test_from)}, got none. Give a longer log."
        )


def _protocol(training_data: TrainingData, queries: Queries, config: TrainingConfig) -> Protocol:
    return Protocol(
        queries=len(queries),
        catalogue=len(training_data.dataset.catalogue),
        test_from=iso_time(training_data.split.test_from),
        candidates="catalogue" if training_data.shown is None else "impressions",
        users=len(np.unique(queries.users)),
        positives=len(queries.positives.values),
        exclude_seen=config.retrieval.exclude_seen,
        test_digest=digest_of_test(training_data, queries),
    )


def digest_of_test(training_data: TrainingData, queries: Queries) -> str:
    """`digest_of_queries` of test queries, by the ids of users and positives."""
    users = training_data.dataset.users.gather(queries.users).cast(str).to_numpy()
    items = training_data.dataset.catalogue.ids.gather(queries.positives.values).cast(str).to_numpy()
    return digest_of_queries(users, queries.times, queries.positives.offsets, items)
