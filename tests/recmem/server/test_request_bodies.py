"""What a request may hold: ids as text or numbers, times as in files, and no field that is not known."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from recmem.server.request_bodies import Candidate, EventsRequest, RankRequest, RecommendRequest, UsersRequest


def rank(**fields: Any) -> RankRequest:
    return RankRequest.model_validate({"user_id": "a", "items": ["x"]} | fields)


def test_ids_are_text_or_whole_numbers() -> None:
    request = rank(user_id=7, items=[8, "9", {"item_id": 10, "title": "ten"}], history=[1, "2"])
    assert request.user_id == "7"
    assert request.items[:2] == ["8", "9"]
    assert isinstance(request.items[2], Candidate)
    assert request.items[2].item_id == "10"
    assert request.items[2].fields == {"title": "ten"}
    assert request.history == ["1", "2"]


@pytest.mark.parametrize("wrong", [None, 1.5, True, ["a"], {}])
def test_nothing_else_is_an_id(wrong: object) -> None:
    with pytest.raises(ValidationError):
        rank(user_id=wrong)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-01-31T12:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        (1_700_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (None, None),
    ],
)
def test_times_are_iso_text_or_epoch_seconds(given: object, expected: datetime | None) -> None:
    assert rank(timestamp=given).timestamp == expected


@pytest.mark.parametrize("wrong", ["yesterday", True, [], {"year": 2026}, "", 10**40, -(10**40)])
def test_another_time_is_refused_in_words(wrong: object) -> None:
    with pytest.raises(ValidationError, match="expected ISO 8601 text or epoch seconds"):
        rank(timestamp=wrong)


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="tiemstamp"):
        rank(tiemstamp="2026-01-31")


@pytest.mark.parametrize("wrong", [{"items": []}, {"items": ["x"] * 10_001}, {"k": 0}, {"items": [{"title": "no id"}]}])
def test_a_request_has_one_to_ten_thousand_items(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        rank(**wrong)


def test_users_and_events_are_bounded_too() -> None:
    with pytest.raises(ValidationError):
        RecommendRequest.model_validate({"user_ids": []})
    with pytest.raises(ValidationError):
        EventsRequest.model_validate({"events": [{}] * 10_001})
    with pytest.raises(ValidationError):
        UsersRequest.model_validate({"users": [{}] * 10_001})


def test_what_many_small_parts_would_make_large_is_refused() -> None:
    rank(items=["x"] * 1000, history=["y"] * 1000)
    with pytest.raises(ValidationError, match=r"expected items times history of at most 1,000,000, got 1,001 items"):
        rank(items=["x"] * 1001, history=["y"] * 1000)
    RecommendRequest.model_validate({"user_ids": ["a"] * 1000, "k": 100})
    with pytest.raises(ValidationError, match=r"expected users times k of at most 100,000, got 1,000 users and k 101"):
        RecommendRequest.model_validate({"user_ids": ["a"] * 1000, "k": 101})


def test_half_a_surrogate_pair_is_no_id() -> None:
    with pytest.raises(ValidationError):
        rank(user_id="\ud800")
