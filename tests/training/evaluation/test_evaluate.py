"""The evaluation of a run on a small dataset: figures recomputed from the rank of every positive."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest

from feature_store import DataError
from feature_store.point_in_time.read_protocol import END_OF_TIME
from five_item_dataset import dataset_of, matcher, unit_vectors
from recmem.dataset.query_batch import QueryBatch
from recmem.ranking.ranker import Ranker
from recmem.retrieval.interleave import RetrievalConfig
from recmem.retrieval.retrieve import catalogue_scores, seen_items
from slow_reference import Event
from strategies import N_ITEMS, N_USERS
from tolerances import close
from training.config import TrainingConfig
from training.evaluation.evaluate import evaluate_rankings
from training.evaluation.ledger import WITH_MATCH, WITH_SIMILARITY, WITHOUT_MATCH
from training.fitting.fit_ranker import RankerConfig, fit_ranker
from training.splits import Split
from training.training_data import TrainingData, ranking_data

CONFIG = replace(TrainingConfig(), retrieval=RetrievalConfig(candidates=3))
TEST_FROM = 40
BASELINES = ("popularity", "recent_popularity", "covisitation", "match_score", "text_similarity")


@functools.cache
def training_data() -> TrainingData:
    random = np.random.default_rng(0)
    log = [
        Event(user, int(item), 20 * step + user + 3 * turn)
        for user in range(N_USERS)
        for step in range(4)
        for turn, item in enumerate(random.permutation(N_ITEMS)[:1])
    ]
    return TrainingData(dataset_of(log), unit_vectors(), Split(0, TEST_FROM, 3), "none", None)


@functools.cache
def rankers() -> dict[str, Ranker]:
    _, data = ranking_data(training_data(), matcher(), -1, 99, 99, CONFIG)
    config = RankerConfig(rounds=2, min_rows_in_leaf=1)
    names = tuple(data.pairs.values)
    without = tuple(name for name in names if not name.startswith(("match", "similarity")))
    return {
        WITHOUT_MATCH: fit_ranker(data, without, config, 0).ranker,
        WITH_MATCH: fit_ranker(data, names, config, 0).ranker,
    }


def test_ledger_counts_the_queries_of_the_test_and_ranks_them_in_every_way() -> None:
    ledger = evaluate_rankings(training_data(), matcher(), rankers(), "similarity_mean", CONFIG).ledger
    queries, _ = ranking_data(training_data(), matcher(), TEST_FROM, END_OF_TIME, 99, CONFIG)
    assert {row.name for row in ledger.rows} == {*BASELINES, WITHOUT_MATCH, WITH_MATCH}
    assert ledger.protocol.queries == len(queries) > 0
    assert ledger.protocol.positives == len(queries.positives.values)
    assert ledger.protocol.users == len(set(queries.users.tolist()))
    assert (ledger.protocol.catalogue, ledger.protocol.candidates) == (N_ITEMS, "catalogue")
    assert "cold items" in ledger.slices or "warm items" in ledger.slices


@pytest.mark.parametrize(("row", "feature"), [("match_score", "match_raw"), ("text_similarity", "similarity_mean")])
def test_mean_reciprocal_rank_is_that_counted_by_hand(row: str, feature: str) -> None:
    ledger = evaluate_rankings(training_data(), matcher(), rankers(), "similarity_mean", CONFIG).ledger
    queries, _ = ranking_data(training_data(), matcher(), TEST_FROM, END_OF_TIME, 99, CONFIG)
    dataset = training_data().dataset
    batch = QueryBatch.of(dataset, queries.users, queries.times)
    scores = catalogue_scores(dataset, matcher(), batch, np.arange(len(dataset.catalogue)))[feature]
    already_had = seen_items(dataset, batch)
    reciprocal = []
    for place in range(len(queries)):
        ranked = np.setdiff1d(np.arange(N_ITEMS), already_had.row(place))
        ranks = [1 + (scores[place, ranked] > scores[place, item]).sum() for item in queries.positives.row(place)]
        reciprocal.append(1 / min(ranks))
    found = ledger.row(row)
    assert found is not None
    close(found.metrics["mrr"], np.mean(reciprocal), "float32")


def test_a_positive_that_was_not_retrieved_counts_as_missed_by_the_rankers() -> None:
    one_candidate = replace(CONFIG, retrieval=RetrievalConfig(candidates=1))
    queries, data = ranking_data(training_data(), matcher(), TEST_FROM, END_OF_TIME, 99, one_candidate)
    ledger = evaluate_rankings(training_data(), matcher(), rankers(), "similarity_mean", one_candidate).ledger
    found = ledger.row(WITH_MATCH)
    assert found is not None
    assert data.labels.sum() < len(queries.positives.values)
    close(found.metrics["mrr"], data.labels.sum() / len(queries), "float32")
    close(ledger.retrieval["recall@50"], data.labels.sum() / len(queries.positives.values), "float32")


def test_where_repeats_count_the_items_that_users_have_had_are_ranked_and_measured_too() -> None:
    # Every user comes back for the same two items, the one twice as often.
    log = [Event(user, item, 9 * step + item) for user in range(N_USERS) for step in range(7) for item in (0, 1)]
    log = [event for event in log if event.item == 0 or event.time % 2]
    dataset = dataset_of(log)
    data = replace(training_data(), dataset=replace(dataset, config=replace(dataset.config, repeats=True)))
    config = replace(CONFIG, retrieval=RetrievalConfig(candidates=3, exclude_seen=False))
    _, pairs = ranking_data(data, matcher(), -1, TEST_FROM, 99, config)
    ranker = fit_ranker(pairs, tuple(pairs.pairs.values), RankerConfig(rounds=2, min_rows_in_leaf=1), 0).ranker
    rankers = {WITHOUT_MATCH: ranker, WITH_MATCH: ranker}
    ledger = evaluate_rankings(data, matcher(), rankers, "similarity_mean", config).ledger
    had_before = ledger.row("had_before")
    assert had_before is not None
    assert not ledger.protocol.exclude_seen
    assert set(ledger.slices) >= {"repeated items"}
    assert "first items" not in ledger.slices
    # Item 0, had most often, is first, and 1 second.
    asked = [item for event in log if event.time > TEST_FROM for item in [event.item]]
    close(had_before.metrics["mrr"], np.mean([1 / (1 + item) for item in asked]), "float32")


def test_same_run_gives_the_same_ledger() -> None:
    first, second = (
        evaluate_rankings(training_data(), matcher(), rankers(), "similarity_mean", CONFIG) for _ in range(2)
    )
    assert first.ledger.to_json() == second.ledger.to_json()
    close(first.figures.metrics["mrr"], second.figures.metrics["mrr"], "exact")


def test_a_test_period_without_queries_is_refused() -> None:
    late = replace(training_data(), split=replace(training_data().split, test_from=10**6))
    with pytest.raises(
        DataError, match=r"events\.timestamp: expected users with earlier events who interact with new items"
    ):
        evaluate_rankings(late, matcher(), rankers(), "similarity_mean", CONFIG)


def test_the_ranker_with_untrained_text_moves_no_figure_of_the_others() -> None:
    three = {WITHOUT_MATCH: rankers()[WITHOUT_MATCH], WITH_SIMILARITY: rankers()[WITHOUT_MATCH]} | rankers()
    found = evaluate_rankings(training_data(), matcher(), three, "similarity_mean", CONFIG).ledger
    without = evaluate_rankings(training_data(), matcher(), rankers(), "similarity_mean", CONFIG).ledger
    assert [row for row in found.rows if row.name != WITH_SIMILARITY] == list(without.rows)
    assert found.lift == without.lift
    assert set(found.parts) == {"untrained text", "learned match"}
