"""Answers of a model server: parameters checked, the best k, reasons, recommendations, and what is unknown flagged."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from feature_store import DataError
from recmem.serving.model import Model
from recmem.serving.served_answer import DEFAULT_K, RequestParams, answer


def asked(model: Model, frame: pl.DataFrame | dict[str, Any], **params: Any) -> pd.DataFrame:
    candidates = frame.to_pandas() if isinstance(frame, pl.DataFrame) else pd.DataFrame(frame)
    return answer(model, candidates, RequestParams.of(params))


def test_candidates_come_back_with_what_rank_gives(model: Model, candidates: pl.DataFrame) -> None:
    found = asked(model, candidates)
    expected = model.rank(candidates).to_pandas()
    pd.testing.assert_frame_equal(pd.DataFrame(found[expected.columns]), expected)
    assert not found[["unknown_user", "unknown_item"]].to_numpy().any()
    assert "rank" not in asked(model, candidates, output="match")


def test_k_keeps_the_best_of_each_query_in_their_order_with_their_index(model: Model, candidates: pl.DataFrame) -> None:
    whole = asked(model, candidates)
    best = asked(model, candidates, k=2)
    pd.testing.assert_frame_equal(pd.DataFrame(best), pd.DataFrame(whole[whole["rank"] <= 2]))
    assert 0 < len(best) < len(whole)


def test_explain_adds_the_reasons_of_the_model(model: Model, candidates: pl.DataFrame) -> None:
    found = asked(model, candidates, explain=2)
    expected = model.rank(candidates, explain=2)
    assert found["reasons"].tolist() == expected["reasons"].to_list()
    assert found["match_reason_2"].tolist() == expected["match_reason_2"].to_list()


def test_unknown_users_and_items_are_flagged_as_the_report_counts_them(model: Model) -> None:
    user = model.dataset.users[0]
    item, other = model.dataset.catalogue.ids.head(2).to_list()
    rows = {
        "user_id": [user, "nobody", "nobody", user, user],
        "item_id": [item, item, item, "new", "newer"],
        "history": [None, None, [other], None, None],
        "title": [None, None, None, "a text", None],
    }
    found = asked(model, rows)
    assert found["unknown_user"].tolist() == [False, True, False, False, False]
    assert found["unknown_item"].tolist() == [False, False, False, True, True]
    unmatched = model.rank_with_report(pd.DataFrame(rows)).unmatched
    assert found["unknown_user"].sum() == unmatched.unknown_users
    assert found["unknown_item"].sum() == unmatched.unknown_items_with_text + unmatched.unknown_items_without_text


def test_a_recommendation_is_what_recommend_gives(model: Model) -> None:
    users = [*model.dataset.users.head(2).to_list(), "nobody"]
    found = asked(model, {"user_id": users}, output="recommend", k=3)
    expected = model.recommend(users, k=3).to_pandas()
    pd.testing.assert_frame_equal(pd.DataFrame(found[expected.columns]), expected)
    assert found["unknown_user"].tolist() == [False] * 6 + [True] * 3
    assert not found["unknown_item"].any()
    assert len(asked(model, {"user_id": users[:1]}, output="recommend")) == DEFAULT_K


def test_a_recommendation_is_as_of_each_rows_time_and_given_once(model: Model) -> None:
    user = model.dataset.users[0]
    rows = {"user_id": [user, user, user], "timestamp": ["2018-01-01", None, "2018-01-01"]}
    found = asked(model, rows, output="recommend", k=2)
    then = model.recommend([user], k=2, timestamp="2018-01-01")
    now = model.recommend([user], k=2)
    assert found["score"].tolist() == [*then["score"].to_list(), *now["score"].to_list()]


def test_a_recommendation_for_nobody_has_the_columns(model: Model) -> None:
    found = asked(model, {"user_id": pd.Series([], dtype="str")}, output="recommend")
    assert (len(found), "reason" in found, "unknown_user" in found) == (0, True, True)


def test_every_answer_is_json(model: Model) -> None:
    rows = {"user_id": ["nobody", "nobody"], "item_id": ["x", "y"], "title": [None, "text"], "history": [None, [None]]}
    for params in ({}, {"output": "match", "explain": 1}, {"k": 1}):
        records = asked(model, rows, **params).to_dict(orient="records")
        assert json.loads(json.dumps(records, allow_nan=False)) == records


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"output": "top"}, "params.output: expected rank, match or recommend, got 'top'"),
        ({"k": -1}, "params.k: expected a whole number from 1, got -1"),
        ({"k": True}, "params.k: expected a whole number from 1, got True"),
        ({"k": 1.5}, "params.k: expected a whole number from 1, got 1.5"),
        ({"k": 1, "output": "match"}, "params.k: expected none with output match"),
        ({"explain": 99}, "params.explain: expected 0 to 20, got 99"),
        ({"explain": 1, "output": "recommend"}, "params.explain: expected none with output recommend"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(params: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as refused:
        RequestParams.of(params)
    assert message in str(refused.value)


def test_numbers_of_numpy_are_parameters() -> None:
    assert RequestParams.of({"k": np.int64(3), "explain": np.int64(2)}) == RequestParams("rank", 3, 2)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"user_id": ["u"], "item_id": ["i"]}, "users.item_id: expected only user_id and timestamp"),
        ({"user_id": ["u"], "history": [["i"]]}, "users.history: expected only user_id and timestamp"),
        ({"timestamp": ["2020-01-01"]}, "users.user_id: expected the column, got none"),
        ({"user_id": ["u", None]}, "users.user_id: expected an id, got null"),
    ],
)
def test_a_recommendation_for_other_columns_is_refused(model: Model, rows: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as refused:
        asked(model, rows, output="recommend")
    assert message in str(refused.value)
    assert len(asked(model, {"user_id": ["u"], "item_id": [None]}, output="recommend", k=1)) == 1
