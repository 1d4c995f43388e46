from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from feature_store.point_in_time.newest_rows import ALWAYS
from feature_store.schema import USERS
from feature_store.table_checks import check_table
from feature_store.user_rows import changed_users
from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.user_profiles import UserProfiles

DAY = datetime(2026, 1, 1, tzinfo=UTC)
MICROS = int(DAY.timestamp() * 1e6)
IDS = pl.Series("user_id", ["v", "u", "stranger"])
"""User ids in row order; the table's own are sorted."""
AGE = CandidateFeature("age")
PLAN = CandidateFeature("plan", ("free", "paid"))


def profiles(*rows: tuple[str, datetime | None, int | None, str | None]) -> UserProfiles:
    frame = pl.DataFrame(rows, schema=["user_id", "timestamp", "age", "plan"], orient="row")
    return UserProfiles.of(check_table(frame, USERS).kept)


def test_values_are_those_of_the_row_that_holds_at_the_time() -> None:
    known = profiles(("u", None, 30, "free"), ("u", DAY, None, "paid"), ("v", DAY, 50, "gold"))
    rows = known.rows_at(np.array([1, 1, 0, 0, 2, -1]), MICROS + np.array([0, 1, 0, 1, 1, 1]), IDS)
    assert known.values(AGE, rows).tolist()[:1] == [30]
    assert np.isnan(known.values(AGE, rows)[[1, 2, 4, 5]]).all()
    assert known.values(AGE, rows)[3] == 50
    assert known.values(PLAN, rows)[:2].tolist() == [0, 1]
    assert np.isnan(known.values(PLAN, rows)[2:]).all()  # not known yet, a text that training lacked, and no row


def test_categories_are_found_in_a_column_that_has_become_numbers_since() -> None:
    age = CandidateFeature("age", ("34", "34 years", "35.5", "7.0"))
    for numbers, places in (([34, 7], [0, np.nan]), ([34.0, 35.5, 7.0, None], [0, 2, 3, np.nan])):
        users = [f"u{n}" for n in range(len(numbers))]
        known = UserProfiles.of(check_table(pl.DataFrame({"user_id": users, "age": numbers}), USERS).kept)
        np.testing.assert_array_equal(known.values(age, np.arange(len(numbers))), places)


def test_a_column_that_the_table_lacks_is_missing() -> None:
    known = profiles(("u", None, 30, "free"))
    assert np.isnan(known.values(CandidateFeature("height"), np.array([0, -1]))).all()
    assert np.isnan(UserProfiles.none().values(AGE, np.array([-1]))).all()
    assert UserProfiles.none().rows_at(np.array([0]), np.array([MICROS]), IDS).tolist() == [-1]


def test_rows_that_are_added_replace_those_of_the_same_user_and_time() -> None:
    known = profiles(("u", None, 30, "free")).with_rows(profiles(("u", None, 31, "paid"), ("v", DAY, 1, None)).table)
    assert len(known) == 2
    rows = known.rows_at(np.array([1, 0]), np.array([MICROS, MICROS + 1]), IDS)
    assert known.values(AGE, rows).tolist() == [31, 1]


def test_rows_with_ids_that_are_integers_can_be_the_first() -> None:
    rows = check_table(pl.DataFrame({"user_id": [7], "plan": ["free"]}), USERS).kept
    assert rows.schema["user_id"] == pl.Int64
    assert changed_users(rows, UserProfiles.none().table_beside(rows)).height == 1
    known = UserProfiles.none().with_rows(rows)
    assert known.ids.to_list() == [7]
    again = check_table(pl.DataFrame({"user_id": [7], "plan": ["paid"]}), USERS).kept
    assert known.with_rows(again).table["plan"].to_list() == ["paid"]


def test_the_clock_is_when_all_dated_rows_are_known_but_for_one_far_in_the_future() -> None:
    assert UserProfiles.none().clock == profiles(("u", None, 1, "x")).clock == ALWAYS
    days = [("u", DAY + timedelta(days=day), day, "x") for day in range(5)]
    last = MICROS + 4 * 86_400_000_000 + 1
    assert profiles(*days).clock == last
    assert profiles(*days, ("v", datetime(2199, 1, 1, tzinfo=UTC), 1, "x")).clock == last


def test_interests_are_read_from_their_column_and_none_where_it_is_missing() -> None:
    table = profiles(("u", None, 1, "jazz"), ("v", None, 2, None)).table
    known = UserProfiles.of(table).encoded("plan", lambda texts: np.ones((len(texts), 2), np.float32))
    rows = known.rows_at(np.array([1, 0, -1]), np.full(3, MICROS), IDS)
    assert known.interest_rows("plan", rows).tolist() == [0, -1, -1]
    assert known.interest_rows("interests", rows).tolist() == [-1, -1, -1]
    assert known.interests.vectors.shape == (1, 2)
    assert UserProfiles.of(table).encoded("", lambda texts: 1 / 0).interests.rows == {}
