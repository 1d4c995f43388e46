"""Past queries: users at times when they did something, with what they interacted with among the items."""

from __future__ import annotations

import numpy as np
import pytest

from debian_model import model_of, trained_model, with_cancellations
from recmem.audit.past_queries import N_ITEMS, PastQueries
from recmem.dataset.dataset import Dataset


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return model_of(trained_model().events).dataset


def test_queries_are_distinct_and_in_order_of_time(dataset: Dataset) -> None:
    queries = PastQueries.sample(dataset, 50, np.random.default_rng(0))
    assert len(queries) == 50
    assert (np.diff(queries.times) >= 0).all()
    assert len(set(zip(queries.users, queries.times, strict=True))) == 50


def test_items_of_a_query_are_distinct_and_hold_what_the_user_interacted_with(dataset: Dataset) -> None:
    queries = PastQueries.sample(dataset, 50, np.random.default_rng(0))
    log = dataset.log
    for row, (user, time) in enumerate(zip(queries.users, queries.times, strict=True)):
        items = queries.items.row(row)
        interacted = np.unique(log.item_rows[(log.user_rows == user) & (log.times == time)])
        assert 0 < len(items) <= N_ITEMS
        assert len(set(items)) == len(items)
        assert set(interacted[:N_ITEMS]) <= set(items)


def test_more_queries_than_there_are_give_all_of_them(dataset: Dataset) -> None:
    queries = PastQueries.sample(dataset, 10**6, np.random.default_rng(0))
    log = dataset.log
    assert set(zip(queries.users, queries.times, strict=True)) == set(zip(log.user_rows, log.times, strict=True))


def test_times_around_a_cancellation_are_drawn_from() -> None:
    dataset = model_of(with_cancellations(trained_model().events)).dataset
    times = set(PastQueries.sample(dataset, 10**6, np.random.default_rng(0)).times)
    cancelled = dataset.cancelled
    assert cancelled is not None
    assert set(cancelled.cancelled_at) <= times
    assert set(cancelled.cancelled_at - 1) <= times


def test_queries_keep_their_users_in_a_dataset_with_other_rows(dataset: Dataset) -> None:
    queries = PastQueries.sample(dataset, 20, np.random.default_rng(0))
    later = trained_model().events.filter(trained_model().events["user_id"] > dataset.users[3])
    target = model_of(later).dataset
    within = queries.within(dataset, target)
    known = within.users >= 0
    assert known.sum() > 0
    assert (within.users != queries.users)[known].any()
    assert target.users.gather(within.users[known]).equals(dataset.users.gather(queries.users[known]))
    assert queries.at(5).times.tolist() == [5] * 20
