from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store.ragged import Ragged
from five_item_dataset import dataset_of, matcher
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.retrieved_features import retrieved_features
from recmem.retrieval.interleave import RetrievalConfig
from recmem.retrieval.retrieve import catalogue_scores
from slow_reference import Event
from strategies import LAST_TIME, N_ITEMS, N_USERS, USERS, logs
from tolerances import close
from training.evaluation.catalogue_ranks import CatalogueRankCollector, recall_at, retrieved_ranks
from training.fitting.fit_ranker import RankingData
from training.queries import Queries, queries_between

FEWER = settings(max_examples=25)  # each builds a dataset
BASELINES = {"match": "match_raw", "popular": "popularity_before_test"}


def random_generator() -> np.random.Generator:
    return np.random.default_rng(0)


def ranking_data(candidates: list[list[int]], labels: list[int] | None = None) -> RankingData:
    rows = Ragged.from_lists(candidates)
    flags = np.zeros(len(rows.values), np.int8) if labels is None else np.array(labels, np.int8)
    return RankingData(PairFeatures(rows, {}), flags)


def collected_ranks(dataset: Dataset, queries: Queries, *, exclude_seen: bool) -> CatalogueRankCollector:
    collector = CatalogueRankCollector(dataset, queries, BASELINES, 4, exclude_seen, random_generator())
    batch = QueryBatch.of(dataset, queries.users, queries.times)
    retrieved_features(dataset, matcher(), batch, RetrievalConfig(candidates=2), on_scores=collector)
    return collector


@FEWER
@given(logs(late=False, min_size=6), st.booleans())
def test_ranks_in_the_catalogue_count_only_items_that_the_user_lacks(log: list[Event], exclude_seen: bool) -> None:
    dataset = dataset_of(log)
    queries = queries_between(dataset.log, 0, LAST_TIME)
    collector = collected_ranks(dataset, queries, exclude_seen=exclude_seen)
    if not len(queries):
        return
    batch = QueryBatch.of(dataset, queries.users, queries.times)
    scores = catalogue_scores(dataset, matcher(), batch, np.arange(len(dataset.catalogue)))["match_raw"]
    expected = []
    n_ranked = []
    for row, (user, time) in enumerate(zip(queries.users, queries.times, strict=True)):
        name = dataset.users[int(user)]
        already_had = {event.item for event in log if USERS[event.user] == name and event.time < time and exclude_seen}
        ranked = [item for item in range(N_ITEMS) if item not in already_had]
        n_ranked.append(len(ranked))
        for positive in queries.positives.row(row):
            expected.append(1 + sum(scores[row, item] > scores[row, positive] for item in ranked))
    close(np.concatenate(collector.ranks["match"]), expected, "exact")
    assert collector.n_ranked == n_ranked


def test_ties_in_the_catalogue_are_broken_at_random_and_not_in_a_rows_favour() -> None:
    dataset = dataset_of([Event(user, 0, 5) for user in range(N_USERS)] + [Event(0, 3, 9)])
    queries = queries_between(dataset.log, 8, 9)
    ranks = []
    for seed in range(40):
        collector = CatalogueRankCollector(dataset, queries, BASELINES, 2, True, np.random.default_rng(seed))
        retrieved_features(
            dataset,
            matcher(),
            QueryBatch.of(dataset, queries.users, queries.times),
            RetrievalConfig(),
            on_scores=collector,
        )
        ranks.append(float(np.concatenate(collector.ranks["popular"])[0]))
    assert set(ranks) == {1, 2, 3, 4}  # nothing happened before 2: all four that are ranked tie


def test_ranks_of_retrieved_positives_by_hand() -> None:
    data = ranking_data([[4, 2, 7], [2], [5, 6]])
    scores = np.array([0.1, 0.9, 0.5, 0.3, 0.2, 0.8])
    positives = Ragged.from_lists([[4, 2, 3], [7], [5]])
    ranks = retrieved_ranks(scores, data, positives, random_generator())
    close(ranks, [3, 1, math.inf, math.inf, 2], "exact")


@given(
    st.lists(st.lists(st.integers(0, 8), max_size=5, unique=True), min_size=1, max_size=4).filter(any),
    st.integers(0, 99),
)
def test_ranks_of_retrieved_positives_are_those_of_the_slow_count(candidates: list[list[int]], seed: int) -> None:
    random = np.random.default_rng(seed)
    data = ranking_data(candidates)
    scores = random.permutation(len(data.labels)).astype(np.float64)
    positives = [random.permutation(9)[: random.integers(0, 4)].tolist() for _ in candidates]
    expected = []
    for row, items in enumerate(positives):
        mine = dict(zip(candidates[row], scores[data.pairs.candidates.offsets[row] :], strict=False))
        for item in items:
            above = sum(score > mine[item] for score in mine.values()) if item in mine else math.inf
            expected.append(1 + above)
    close(retrieved_ranks(scores, data, Ragged.from_lists(positives), random_generator()), expected, "exact")


def test_recall_counts_the_first_candidates_of_each_query() -> None:
    data = ranking_data([[4, 2, 7], [2, 1]], [0, 1, 1, 1, 0])
    positives = Ragged.from_lists([[2, 7, 9], [2]])
    close([recall_at(data, positives, k) for k in (1, 2, 3)], [1 / 4, 2 / 4, 3 / 4], "exact")
