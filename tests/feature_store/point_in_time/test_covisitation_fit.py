from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_store.data_errors import DataError
from feature_store.point_in_time import covisitation_fit
from feature_store.point_in_time.covisitation_fit import (
    co_occurrence,
    ease_weights,
    near_weights,
    shrunk_cosine,
    strongest,
    visit_numbers,
)
from tolerances import close

FEWER = settings(max_examples=20)  # each builds sparse matrices


def flat(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_users_who_interacted_with_both_items_are_counted_once() -> None:
    counts = co_occurrence(users=flat(0, 0, 0, 1, 1), items=flat(0, 1, 1, 1, 2), n_items=3, history=9)
    assert counts.toarray().tolist() == [[1, 1, 0], [1, 2, 1], [0, 1, 1]]


def test_only_the_newest_events_of_a_user_are_counted() -> None:
    counts = co_occurrence(users=flat(0, 0, 0, 1), items=flat(0, 1, 2, 0), n_items=3, history=2)
    assert counts.toarray().tolist() == [[1, 0, 0], [0, 1, 1], [0, 1, 1]]


def test_the_shrunk_cosine_by_hand() -> None:
    counts = sp.csr_matrix(np.array([[4, 1], [1, 9]], np.float32))
    weight = 1 / (math.sqrt(4 * 9) + 2)
    close(shrunk_cosine(counts, 2.0).toarray(), [[0, weight], [weight, 0]], "float32")


def test_a_visit_ends_where_the_user_or_the_time_changes() -> None:
    assert visit_numbers(flat(0, 0, 0, 1, 1), flat(5, 5, 7, 7, 5)).tolist() == [0, 0, 1, 2, 3]
    assert visit_numbers(flat(), flat()).tolist() == []


@FEWER
@given(st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=1, max_size=4), st.integers(1, 4))
def test_the_strongest_entries_are_the_largest_positive_ones(rows: list[list[int]], keep: int) -> None:
    dense = np.array(rows, dtype=np.float32)
    kept = strongest(sp.csr_matrix(dense), keep).toarray()
    for row, found in zip(dense, kept, strict=True):
        assert sorted(found[found > 0]) == sorted(sorted(row[row > 0])[max(int((row > 0).sum()) - keep, 0) :])
        assert all(new in (0, old) for new, old in zip(found, row, strict=True))


def test_a_visit_of_too_many_events_makes_no_pairs_and_still_separates_its_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One user's visits: {0}, {1, 2, 3}, {4}.
    users = flat(0, 0, 0, 0, 0)
    items = flat(0, 1, 2, 3, 4)
    visits = flat(0, 1, 1, 1, 2)
    counts = co_occurrence(users, items, n_items=5, history=9)
    pairs = near_weights(users, items, visits, counts, lags=2, shrinkage=0.0).toarray() > 0
    assert pairs.sum() == 5 * 4
    monkeypatch.setattr(covisitation_fit, "LARGEST_VISIT", 2)
    near = near_weights(users, items, visits, counts, lags=2, shrinkage=0.0).toarray()
    assert np.argwhere(near).tolist() == [[0, 4], [4, 0]]
    close(near[0, 4], math.exp(-2 / covisitation_fit.NEAR_DECAY), "float32")


def test_ease_weights_are_those_of_a_general_inverse() -> None:
    random = np.random.default_rng(0)
    interacted = sp.csr_matrix((random.random((400, 60)) < 0.1).astype(np.float32))
    counts = (interacted.T @ interacted).tocsr()
    precision = np.linalg.inv(counts.toarray().astype(np.float64) + 10 * np.eye(60))
    weights = -precision / np.diag(precision)
    np.fill_diagonal(weights, 0)
    close(ease_weights(counts, 60, 10.0).toarray(), np.maximum(weights, 0), "float32")


def test_a_ridge_that_is_lost_beside_the_counts_is_refused_by_its_name() -> None:
    same_users = sp.csr_matrix(np.full((2, 2), 2.0**24, np.float32))
    with pytest.raises(DataError, match=r"covisitation\.ease_ridge: .* Raise it\."):
        ease_weights(same_users, 2, 0.01)
