"""How much the seed moves the headline: figures of each member of the mean on its own.

A member is one match module and the trees of one seed, on the same blend and the same retrieved candidates. Its match
features are computed anew and its trees are a part of the mean's, so nothing is fitted again: the figures are those of
the ranker that ships with the averaging taken out.

Only what is averaged is varied. With a single match module, as by default, that is the trees alone: another seed of the
whole training, which also draws other steps of the match module, moves the figures by more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from feature_store.arrays import Float32Array
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.matcher import Matcher
from recmem.ranking.given_features import CHUNK_PAIRS, query_chunks
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Ranker
from recmem.ranking.trees import Trees
from training.evaluation.baselines import LEARNED_FEATURES
from training.evaluation.catalogue_ranks import retrieved_ranks
from training.evaluation.ledger import SEEDS_LIFT, WITH_MATCH, WITHOUT_MATCH, Spread, rounded
from training.evaluation.metrics import mean_over_queries, ndcg
from training.fitting.fit_ranker import RankingData
from training.fitting.mean_trees import trees_of_member
from training.queries import Queries

K = 10


def seed_spread(
    dataset: Dataset,
    queries: Queries,
    data: RankingData,
    members: Sequence[Matcher],
    rankers: Mapping[str, Ranker],
    *,
    tree_members: int,
    seed: int,
) -> dict[str, Spread]:
    """Spread over the members of NDCG@10 of the ranker with text features, and of its lift; empty for fewer than two.

    `data` are the candidates of the queries with the features of the mean; the trees of `rankers` are the mean of
    `tree_members` models. If there are fewer match modules than models of trees, or the other way round, they take
    turns.
    """
    n_members = max(len(members), tree_members)
    if not members or n_members < 2:
        return {}
    batch = QueryBatch.of(dataset, queries.users, queries.times)
    figures = []
    lifts = []
    learned = [_learned_features(matcher, batch, data.pairs) for matcher in members]
    for member in range(n_members):
        own = data.pairs.values | learned[member % len(members)]
        of_member = replace(data, pairs=PairFeatures(data.pairs.candidates, own))
        trees = member % tree_members
        ndcg_of = {
            name: _ndcg(_ranker_of_member(rankers[name], trees, tree_members), of_member, queries, seed)
            for name in (WITHOUT_MATCH, WITH_MATCH)
        }
        figures.append(ndcg_of[WITH_MATCH])
        lifts.append(ndcg_of[WITH_MATCH] - ndcg_of[WITHOUT_MATCH])
    return {WITH_MATCH: _spread(figures), SEEDS_LIFT: _spread(lifts)}


def _learned_features(matcher: Matcher, batch: QueryBatch, pairs: PairFeatures) -> dict[str, Float32Array]:
    """The features that the match module has learned; the similarities are the same for every member."""
    parts = [
        matcher.pair_features(batch.take(rows).histories, pairs.candidates.take(rows))
        for rows in query_chunks(pairs.candidates, CHUNK_PAIRS)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in LEARNED_FEATURES}


def _ranker_of_member(ranker: Ranker, member: int, n_members: int) -> Ranker:
    text = trees_of_member(ranker.trees.text, member, n_members)
    return replace(ranker, trees=Trees(text))


def _ndcg(ranker: Ranker, data: RankingData, queries: Queries, seed: int) -> float:
    positives = queries.positives
    # Every member breaks ties alike.
    ranks = retrieved_ranks(ranker.scores(data.pairs), data, positives, np.random.default_rng([seed, 2]))
    return mean_over_queries(ndcg(ranks, positives.offsets, k=K))


def _spread(values: list[float]) -> Spread:
    deviation = float(np.std(values, ddof=1))
    return Spread(tuple(map(rounded, values)), rounded(float(np.mean(values))), rounded(deviation))
