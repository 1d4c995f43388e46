from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import slow_reference
from feature_store.ragged import Ragged
from five_item_dataset import dataset_of, matcher
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.ranking.features import PairFeatures, catalogue_scores, retrieved_features
from recmem.retrieval.retrieve import RetrievalConfig
from slow_reference import Event
from strategies import LAST_TIME, N_ITEMS, N_USERS, USERS, logs
from tolerances import close
from training.evaluation.positive_ranks import GridRanks, positive_slices, query_slices, recall_at, retrieved_ranks
from training.fitting.fit_ranker import RankingData
from training.queries import Queries, queries_between

FEWER = settings(max_examples=25)  # each builds a dataset
ROWS = {"match": "match_raw", "popular": "popularity_before_test"}


def random_generator() -> np.random.Generator:
    return np.random.default_rng(0)


def ranking_data(candidates: list[list[int]], labels: list[int] | None = None) -> RankingData:
    rows = Ragged.from_lists(candidates)
    flags = np.zeros(len(rows.values), np.int8) if labels is None else np.array(labels, np.int8)
    return RankingData(PairFeatures(rows, {}), flags)


def grid_ranks(dataset: Dataset, queries: Queries, *, exclude_seen: bool) -> GridRanks:
    grid = GridRanks(dataset, queries, ROWS, 4, exclude_seen, random_generator())
    batch = QueryBatch.of(dataset, queries.users, queries.times)
    retrieved_features(dataset, matcher(), batch, RetrievalConfig(candidates=2), on_grid=grid)
    return grid


@FEWER
@given(logs(late=False, min_size=6), st.booleans())
def test_ranks_in_the_catalogue_are_places_among_what_the_user_lacks(log: list[Event], exclude_seen: bool) -> None:
    dataset = dataset_of(log)
    queries = queries_between(dataset.log, 0, LAST_TIME)
    grid = grid_ranks(dataset, queries, exclude_seen=exclude_seen)
    if not len(queries):
        return
    batch = QueryBatch.of(dataset, queries.users, queries.times)
    scores = catalogue_scores(dataset, matcher(), batch, np.arange(len(dataset.catalogue)))["match_raw"]
    expected, n_ranked = [], []
    for row, (user, time) in enumerate(zip(queries.users, queries.times, strict=True)):
        name = dataset.users[int(user)]
        seen = {event.item for event in log if USERS[event.user] == name and event.time < time and exclude_seen}
        left = [item for item in range(N_ITEMS) if item not in seen]
        n_ranked.append(len(left))
        for positive in queries.positives.row(row):
            expected.append(1 + sum(scores[row, item] > scores[row, positive] for item in left))
    close(np.concatenate(grid.ranks["match"]), expected, "exact")
    assert grid.n_ranked == n_ranked


def test_ties_in_the_catalogue_are_broken_at_random_and_not_in_a_rows_favour() -> None:
    dataset = dataset_of([Event(user, 0, 5) for user in range(N_USERS)] + [Event(0, 3, 9)])
    queries = queries_between(dataset.log, 8, 9)
    ranks = []
    for seed in range(40):
        grid = GridRanks(dataset, queries, ROWS, 2, True, np.random.default_rng(seed))
        retrieved_features(
            dataset, matcher(), QueryBatch.of(dataset, queries.users, queries.times), RetrievalConfig(), on_grid=grid
        )
        ranks.append(float(np.concatenate(grid.ranks["popular"])[0]))
    assert set(ranks) == {1, 2, 3, 4}  # nothing happened before 2: all four that are left tie


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


def test_queries_fall_into_slices_by_the_length_of_their_memory() -> None:
    log = [Event(0, step % N_ITEMS, step) for step in range(30)]
    dataset = dataset_of(log)
    times = np.array([0, 1, 5, 6, 20, 21, 30])
    queries = Queries(np.zeros(7, np.int64), times, Ragged.from_lists([[0]] * 7))
    slices = {name: np.flatnonzero(mask).tolist() for name, mask in query_slices(dataset, queries).items()}
    assert slices == {"memory 1-5": [1, 2], "memory 6-20": [3, 4], "memory 21+": [5, 6]}


def test_positives_fall_into_slices_by_what_was_known_of_the_item() -> None:
    # The span that ages are measured in is 20: an item is young for less than 20 / 12.
    log = [Event(0, 0, 1), Event(0, 1, 9), Event(1, 2, 3), Event(1, 0, 10), Event(1, 1, 10), Event(1, 3, 10)]
    dataset = dataset_of(log)
    queries = Queries(dataset.user_rows(USERS.gather([1])), np.array([10]), Ragged.from_lists([[0, 1, 3]]))
    without, with_ = np.array([50.0, 1.0, np.inf]), np.array([1.0, 1.0, 2.0])
    slices = positive_slices(dataset, queries, 8, without, with_)
    assert set(slices) == {"cold items", "warm items", "item young", "item old"}
    n_positives = {name: part.n_positives.tolist() for name, part in slices.items()}
    # Item 1 was first touched after the cut, 3 never before.
    assert n_positives == {"cold items": [2], "warm items": [1], "item young": [1], "item old": [1]}
    close(slices["cold items"].without, [1 / 2], "exact")
    close(slices["cold items"].with_, [1.0], "exact")
    close(slices["warm items"].without, [0.0], "exact")


@FEWER
@given(logs(late=False, min_size=6), st.integers(0, LAST_TIME))
def test_cold_are_the_items_without_an_event_before_the_test(log: list[Event], test_from: int) -> None:
    dataset = dataset_of(log)
    queries = queries_between(dataset.log, test_from, LAST_TIME)
    ranks = np.ones(len(queries.positives.values))
    slices = positive_slices(dataset, queries, test_from, ranks, ranks)
    warm = {event.item for event in log if slow_reference.is_known(event, test_from + 1)}
    n_cold = sum(item not in warm for item in queries.positives.values.tolist())
    assert ("cold items" in slices) == (n_cold > 0)
    if n_cold:
        assert int(slices["cold items"].n_positives.sum()) == n_cold
