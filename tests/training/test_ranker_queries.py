from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from five_item_dataset import dataset_of, matcher, unit_vectors
from recmem.retrieval.interleave import RetrievalConfig
from slow_reference import Event, Showing
from strategies import N_ITEMS, N_USERS, impression_frame
from training.config import TrainingConfig
from training.fitting.fit_ranker import RankingData
from training.queries import ImpressionQueries, Queries, queries_between
from training.ranker_queries import MOST_DRAWN, ranker_data
from training.splits import Split
from training.training_data import TrainingData, ranking_data

SPLIT = Split(ranker_from=0, test_from=100, refresh=25)
ONE_CANDIDATE = replace(TrainingConfig(), retrieval=RetrievalConfig(candidates=1))
"""Most queries' positives are not retrieved."""
SHOWN = [Showing(0, 0, 3, 5, 0), Showing(1, 1, 2, 12, 1), Showing(2, 2, 4, 20, 0), Showing(3, 0, 0, 30, 1)]
"""Each of one item; the first and the last are drawn, and the first was not clicked."""


@pytest.fixture(scope="module")
def training_data() -> TrainingData:
    random = np.random.default_rng(5)
    log = [
        Event(user, int(item), 20 * step + user)
        for user in range(N_USERS)
        for step, item in enumerate(random.permutation(N_ITEMS)[:4])
    ]
    return TrainingData(dataset_of(log), unit_vectors(), SPLIT, "none", None)


def drawn(training_data: TrainingData, limit: int) -> tuple[Queries, RankingData]:
    return ranker_data(training_data, matcher(), replace(ONE_CANDIDATE, ranker_queries=limit))


def n_useful(data: RankingData) -> int:
    return len(data.with_positives().pairs.candidates)


def queries_of_windows(training_data: TrainingData) -> Queries:
    return queries_between(training_data.dataset.log, SPLIT.ranker_from, SPLIT.test_from)


def test_more_queries_are_drawn_where_retrieval_misses_the_positives_of_many(training_data: TrainingData) -> None:
    limit = 4
    _, first = ranking_data(training_data, matcher(), SPLIT.ranker_from, SPLIT.test_from, limit, ONE_CANDIDATE)
    queries, data = drawn(training_data, limit)
    assert 0 < n_useful(first) < n_useful(data)
    assert limit < len(queries) <= MOST_DRAWN * limit


def test_queries_of_both_draws_are_distinct_and_in_order_of_time(training_data: TrainingData) -> None:
    queries, data = drawn(training_data, 4)
    keys = list(zip(queries.times.tolist(), queries.users.tolist(), strict=True))
    assert keys == sorted(set(keys))
    assert data.pairs.candidates.n_rows == len(queries)


def test_pairs_are_those_of_their_queries_whichever_draw_they_came_with(training_data: TrainingData) -> None:
    queries, data = drawn(training_data, 4)
    everything, all_data = ranking_data(training_data, matcher(), 0, 100, 999, ONE_CANDIDATE)
    place = {key: row for row, key in enumerate(zip(everything.times.tolist(), everything.users.tolist(), strict=True))}
    rows = np.array([place[key] for key in zip(queries.times.tolist(), queries.users.tolist(), strict=True)])
    expected = all_data.take(rows)
    assert data.pairs.candidates.to_lists() == expected.pairs.candidates.to_lists()
    assert data.labels.tolist() == expected.labels.tolist()
    assert data.pairs.values["match_raw"].tolist() == expected.pairs.values["match_raw"].tolist()


def test_no_more_are_drawn_than_the_windows_have(training_data: TrainingData) -> None:
    queries, _ = drawn(training_data, 8)
    assert len(queries) == len(queries_of_windows(training_data))


def test_the_first_draw_is_all_where_every_query_has_a_retrieved_positive(training_data: TrainingData) -> None:
    config = replace(ONE_CANDIDATE, retrieval=RetrievalConfig(candidates=N_ITEMS), ranker_queries=3)
    queries, data = ranker_data(training_data, matcher(), config)
    assert n_useful(data) == len(queries) == 3
    expected = queries_of_windows(training_data).spread(3)
    assert queries.times.tolist() == expected.times.tolist()


def test_impressions_are_drawn_once(training_data: TrainingData) -> None:
    showings = impression_frame(SHOWN)
    dataset = replace(training_data.dataset, impressions=showings)
    shown = replace(training_data, shown=ImpressionQueries.of(dataset))
    queries, data = ranker_data(shown, matcher(), replace(ONE_CANDIDATE, ranker_queries=2))
    assert len(queries) == 2
    assert n_useful(data) == 1
