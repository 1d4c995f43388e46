from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from five_item_dataset import dataset_of
from recmem.dataset.dataset import Dataset
from recmem.dataset.user_profiles import UserProfiles
from slow_reference import Event
from strategies import USERS
from training.fitting.new_users import EVERY, with_new_users

N_QUERIES = 4 * EVERY


def dataset(interests: str) -> Dataset:
    """Two users with events, of whom the second has declared interests."""
    times = {name: pl.Datetime("us", "UTC") for name in ("timestamp", "available_at")}
    table = pl.DataFrame({"user_id": [USERS[1]], "timestamp": [None], "available_at": [None], "interests": ["own"]})
    profiles = UserProfiles.of(table.cast(times)).encoded("interests", lambda texts: np.ones((1, 8), np.float32))
    plain = dataset_of([Event(0, 1, 1), Event(1, 2, 1)])
    config = replace(plain.config, interests=interests)
    return Dataset.of(plain.catalogue, plain.events, plain.impressions, config, profiles=profiles)


def test_one_in_four_queries_of_users_with_interests_has_no_events_and_the_interests_all_the_same() -> None:
    users = np.arange(N_QUERIES) % 2
    times = np.full(N_QUERIES, 9)
    batch = with_new_users(dataset("interests"), users, times)
    is_new = batch.users < 0
    assert is_new.sum() == N_QUERIES // 2 // EVERY
    assert (users[is_new] == 1).all()
    assert (batch.histories.items.lengths == np.where(is_new, 0, 1)).all()
    assert batch.described_users.tolist() == users.tolist()


def test_queries_stay_as_they_are_where_no_interests_are_read() -> None:
    users = np.arange(N_QUERIES) % 2
    batch = with_new_users(dataset(""), users, np.full(N_QUERIES, 9))
    assert batch.users.tolist() == users.tolist()
    assert batch.described is None
