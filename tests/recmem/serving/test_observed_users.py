"""Rows of the users table that a model observes; tests/training/test_user_features.py has what they change."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest

from debian_model import trained_model
from described_users import describe_users
from feature_store import DataError
from recmem.serving.model import Model


@pytest.fixture
def model() -> Model:
    one = trained_model().model()
    describe_users(one, trained_model().events)
    return one


def test_new_changed_repeated_and_bad_rows_are_counted(model: Model) -> None:
    n_users = len(model.dataset.users)
    rows = pl.DataFrame(
        {
            "user_id": ["new", "new", "newer", "bad"],
            "timestamp": [None, None, "2026-01-01", "soon"],
            "age": [1, 2, 3, 4],
        }
    )
    receipt = model.observe_users(rows)
    assert (receipt.table, receipt.n_in, receipt.n_new, receipt.n_duplicate, receipt.n_rejected) == (
        "users",
        4,
        2,
        1,
        1,
    )
    assert receipt.reasons == {"timestamp: expected a time, got text that is not an ISO time": 1}
    assert model.observe_users(rows).n_new == 0
    assert model.dataset.users[n_users:].to_list() == ["new", "newer"]


def test_interests_that_are_observed_are_encoded_and_read(model: Model) -> None:
    before = model.dataset.profiles.interests
    model.observe_users(pl.DataFrame({"user_id": ["new"], "interests": ["encryption of network connections"]}))
    after = model.dataset.profiles.interests
    assert set(after.rows) == {*before.rows, "encryption of network connections"}
    users = model.dataset.user_rows(pl.Series(["new"]))
    (row,) = model.dataset.interest_rows(users, users * 0 + model.dataset.clock)
    assert row == after.rows["encryption of network connections"]


def test_events_that_are_observed_leave_what_is_known_of_users(model: Model) -> None:
    item = trained_model().items["item_id"][0]
    model.observe_users(pl.DataFrame({"user_id": ["new"], "age": [33], "interests": ["sound"]}))
    model.observe(pl.DataFrame({"user_id": ["new"], "item_id": [item], "timestamp": ["2030-01-01"]}))
    users = model.dataset.user_rows(pl.Series(["new"]))
    now = users * 0 + model.dataset.clock
    assert model.dataset.profile_rows(users, now)[0] >= 0
    assert model.dataset.interest_rows(users, now)[0] == model.dataset.profiles.interests.rows["sound"]
    # The declared interest is a slot that is no event.
    assert model.memory("new")["item_id"].to_list() == [item, None]


def test_rows_of_several_threads_are_all_kept(model: Model) -> None:
    frames = [pl.DataFrame({"user_id": [f"new {n}"], "age": [n]}) for n in range(20)]
    with ThreadPoolExecutor(4) as pool:
        receipts = list(pool.map(model.observe_users, frames))
    assert [receipt.n_new for receipt in receipts] == [1] * 20
    assert {f"new {n}" for n in range(20)} <= set(model.dataset.users)


def test_what_is_no_table_of_users_is_refused(model: Model) -> None:
    with pytest.raises(DataError, match=r"users.user_id: expected the column, got only uid"):
        model.observe_users(pl.DataFrame({"uid": ["u"]}))


def test_columns_that_the_model_does_not_read_are_named_in_a_warning(model: Model) -> None:
    rows = pl.DataFrame({"user_id": ["new"], "age": [5], "shoe": [41], "Interests": ["sound"]})
    (warning,) = model.observe_users(rows).warnings
    assert warning == (
        "not used: shoe, Interests; the model reads age, interests, plan. Train again on users with these columns to "
        "have them read."
    )
    assert model.observe_users(rows.drop("shoe", "Interests")).warnings == ()
