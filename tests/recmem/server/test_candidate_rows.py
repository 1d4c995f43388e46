"""Candidates of several requests in one frame."""

from __future__ import annotations

import polars as pl
import pytest

from feature_store import DataError
from own_feature import model_with
from recmem.dataset.candidate_features import CandidateFeature
from recmem.server.candidate_rows import call_key, candidates_frame, columns_read, texts_frame, with_first_rows
from recmem.server.request_bodies import MatchTextsRequest, RankRequest, ScoreRequest
from recmem.serving.model import Model


@pytest.fixture(scope="module")
def model() -> Model:
    """With one feature of the caller's own."""
    return model_with(CandidateFeature("ctr"))


def test_requests_follow_one_another_and_say_where_they_begin() -> None:
    requests = [
        ScoreRequest(user_id="a", items=["x", "y"]),
        ScoreRequest(user_id="b", items=["x"], history=["y", "z"], timestamp=0),
    ]
    frame = candidates_frame(requests, ())
    assert frame["user_id"].to_list() == ["a", "a", "b"]
    assert frame["item_id"].to_list() == ["x", "y", "x"]
    assert frame["history"].to_list() == [None, None, ["y", "z"]]
    assert frame["timestamp"].is_null().to_list() == [True, True, False]
    assert [begin for _, begin in with_first_rows(requests)] == [0, 2]


def test_only_columns_that_the_model_reads_or_refuses_are_made(model: Model) -> None:
    read = columns_read(model)
    assert {"title", "description", "ctr", "score", "reasons", "match_reason_20"} <= read
    assert not {"user_id", "timestamp", "history", "impression_id"} & read
    items = [{"item_id": str(number), f"name {number}": 1, "ctr": 0.5} for number in range(3)]
    frame = candidates_frame([RankRequest(user_id="a", items=items)], read)
    assert set(frame.columns) == {"user_id", "item_id", "impression_id", "timestamp", "ctr"}


def test_requests_are_one_call_if_what_they_bring_that_is_read_is_alike(model: Model) -> None:
    read = columns_read(model)
    plain = RankRequest(user_id="a", items=["x"])
    surplus = RankRequest(user_id="b", items=[{"item_id": "x", "colour": "red"}])
    number = RankRequest(user_id="b", items=[{"item_id": "x", "ctr": 0.5}])
    text = RankRequest(user_id="b", items=[{"item_id": "x", "ctr": "0.5"}])
    explained = RankRequest(user_id="a", items=["x"], explain=1)
    calls = [call_key(request, read) for request in (plain, surplus, number, text, explained)]
    assert calls[0] == calls[1]
    assert len(set(calls[1:])) == 4


@pytest.mark.parametrize(("cell", "got"), [({"a": 1}, "an object"), ([1], "a list")])
def test_lists_and_objects_in_a_column_that_is_read_are_refused(model: Model, cell: object, got: str) -> None:
    items = [{"item_id": "x", "colours": cell, "title": cell}]
    request = RankRequest(user_id="a", items=items)
    assert candidates_frame([request], {"ctr"}).height == 1
    with pytest.raises(DataError, match=f"candidates.title: expected text, numbers or times, got {got}"):
        candidates_frame([request], columns_read(model))


def test_cells_of_several_types_and_torn_characters_become_text(model: Model) -> None:
    items = [{"item_id": "x", "title": 7}, {"item_id": "y", "title": "\ud800 torn"}, {"item_id": "z"}]
    frame = candidates_frame([RankRequest(user_id="a", items=items)], columns_read(model))
    assert frame["title"].dtype == pl.String
    assert frame["title"].to_list() == ["7", "? torn", None]


def test_texts_of_requests_follow_one_another_with_their_users_and_times() -> None:
    requests = [
        MatchTextsRequest(user_id=7, texts=["x", "y"], timestamp="2026-01-31"),
        MatchTextsRequest(user_id="b", texts=["x"]),
    ]
    frame = texts_frame(requests)
    assert frame["user_id"].to_list() == ["7", "7", "b"]
    assert frame["text"].to_list() == ["x", "y", "x"]
    assert frame["timestamp"].cast(pl.String).str.head(10).to_list() == ["2026-01-31", "2026-01-31", None]
