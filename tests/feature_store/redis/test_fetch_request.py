from __future__ import annotations

import numpy as np
import polars as pl

from feature_store.redis.fetch_request import FetchRequest, distinct_pairs, distinct_queries

NOTHING = np.empty(0, np.int64)


def test_a_user_is_read_once_per_time_and_no_user_is_not_read() -> None:
    users = pl.Series("user_id", ["b", "a", "b", None, "b"])
    request = FetchRequest(users, np.array([1, 0, 1, -1, 1]), np.array([5, 5, 5, 5, 6]), NOTHING, NOTHING)
    queries = distinct_queries(request)
    assert queries.users == ["b", "a", "b"]
    assert queries.times.tolist() == [5, 5, 6]
    assert queries.rows.tolist() == [1, 0, 1]


def test_a_request_without_users_has_no_query() -> None:
    queries = distinct_queries(FetchRequest(pl.Series([], dtype=pl.String), NOTHING, NOTHING, NOTHING, NOTHING))
    assert (queries.users, queries.times.tolist(), queries.rows.tolist()) == ([], [], [])


def test_an_item_is_read_once_per_time_sorted_by_time() -> None:
    pairs = distinct_pairs(np.array([9, 2, 9, 2]), np.array([1, 3, 1, 0]))
    assert pairs.tolist() == [[2, 0], [2, 3], [9, 1]]
    assert distinct_pairs(NOTHING, NOTHING).shape == (0, 2)
