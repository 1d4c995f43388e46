"""Checks on a candidate frame: what is refused, all at once, and what passes."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from feature_store import DataError
from recmem.dataset.candidate_checks import check_candidates

FRAME = pl.DataFrame({"user_id": ["u", "v"], "item_id": ["a", "b"]})


def test_frame_without_timestamps_has_null_for_each_row() -> None:
    assert check_candidates(FRAME, ()).to_list() == [None, None]


def test_timestamps_are_read_and_nulls_stay() -> None:
    found = check_candidates(FRAME.with_columns(timestamp=pl.Series(["2024-01-02", None])), ())
    assert found.to_list() == [datetime(2024, 1, 2, tzinfo=UTC), None]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.drop("item_id"), "item_id: expected the column, got none"),
        (FRAME.with_columns(user_id=pl.Series(["u", None])), "user_id: expected an id, got null"),
        (FRAME.with_columns(item_id=pl.Series([[1], [2]])), "item_id: expected ids as text or integers"),
        (FRAME.with_columns(history=pl.lit("a b")), "history: expected lists of item ids"),
        (FRAME.with_columns(impression_id=pl.Series([[1], [2]])), "impression_id: expected ids"),
        (FRAME.with_columns(timestamp=pl.Series(["yesterday", None])), "timestamp: expected"),
        (FRAME.with_columns(score=pl.lit(1.0)), "score: expected no column of this name, got one"),
        ({"user_id": ["u"]}, "expected a polars DataFrame, got builtins dict"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(frame: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_candidates(frame, ("score", "rank"))


def test_all_faults_are_reported_together() -> None:
    wrong = FRAME.drop("user_id").with_columns(score=pl.lit(1.0), history=pl.lit(3))
    with pytest.raises(DataError) as refused:
        check_candidates(wrong, ("score",))
    assert all(name in str(refused.value) for name in ("candidates", "user_id", "score", "history"))


def test_an_empty_frame_may_have_columns_of_any_type() -> None:
    empty = pl.DataFrame({"user_id": pl.Series([], dtype=pl.Boolean), "item_id": pl.Series([], dtype=pl.Null)})
    assert len(check_candidates(empty, ())) == 0
