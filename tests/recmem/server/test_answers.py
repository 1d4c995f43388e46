"""Answers to a batch are those that each request would get alone, and those of the model itself."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from debian_model import trained_model
from feature_store import DataError
from own_feature import FEATURES, model_with
from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.server.answers import (
    explain_answer,
    match_answers,
    match_text_answers,
    rank_answers,
    recommend_answers,
)
from recmem.server.current_model import LoadedModel
from recmem.server.request_bodies import ExplainRequest, MatchTextsRequest, RankRequest, RecommendRequest, ScoreRequest
from recmem.serving.model import Model, Scored
from tolerances import close

TIME = datetime(2025, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return LoadedModel(trained_model().model(), "here", datetime.now(UTC))


@pytest.fixture(scope="module")
def users() -> list[str]:
    return trained_model().events["user_id"].unique().sort().to_list()


@pytest.fixture(scope="module")
def items() -> list[str]:
    return trained_model().items["item_id"].to_list()


@pytest.fixture(scope="module")
def requests(users: list[str], items: list[str]) -> list[RankRequest]:
    """Of the same user twice, with other candidates; with texts, a history, a time, an unknown user."""
    new = {"item_id": "not there", "title": "a text of its own"}
    return [
        RankRequest(user_id=users[0], items=items[:7]),
        RankRequest(user_id=users[0], items=items[5:9], k=2),
        RankRequest(user_id=users[1], items=[*items[:3], new]),
        RankRequest(user_id=users[2], items=items[10:20], history=items[:4]),
        RankRequest(user_id=users[2], items=items[10:20], timestamp=TIME),
        RankRequest(user_id="nobody", items=items[:3]),
    ]


def test_a_batch_gives_what_each_request_gets_alone(loaded: LoadedModel, requests: list[RankRequest]) -> None:
    together = rank_answers(loaded, requests)
    alone = [rank_answers(loaded, [request])[0] for request in requests]
    for answer, expected in zip(together, alone, strict=True):
        assert [item.item_id for item in answer.items] == [item.item_id for item in expected.items]
        assert [item.rank for item in answer.items] == [item.rank for item in expected.items]
        close([item.score for item in answer.items], [item.score for item in expected.items], "float32")


def test_a_ranking_is_the_models_own_best_first(loaded: LoadedModel, users: list[str], items: list[str]) -> None:
    frame = pl.DataFrame({"user_id": users[0], "item_id": items[:7]})
    expected = loaded.model.rank(frame).sort("rank")
    answer = rank_answers(loaded, [RankRequest(user_id=users[0], items=items[:7])])[0]
    assert [item.item_id for item in answer.items] == expected["item_id"].to_list()
    assert [item.score for item in answer.items] == expected["score"].to_list()
    assert [item.match_score for item in answer.items] == expected["match_score"].to_list()
    assert answer.model == "here"


def test_requests_with_other_columns_are_calls_of_their_own(
    loaded: LoadedModel, users: list[str], items: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    rank = Model.rank_with_report

    def noted(model: Model, candidates: pl.DataFrame, *, explain: int) -> Scored[pl.DataFrame]:
        seen.append(sorted(set(candidates.columns) - {"user_id", "item_id", "impression_id", "timestamp"}))
        return rank(model, candidates, explain=explain)

    monkeypatch.setattr(Model, "rank_with_report", noted)
    plain = RankRequest(user_id=users[0], items=items[:3])
    number = RankRequest(user_id=users[1], items=[{"item_id": items[0], "title": 7}])
    text = RankRequest(user_id=users[1], items=[{"item_id": items[1], "title": "seven", "colour": "red"}])
    answers = rank_answers(loaded, [plain, number, plain, text])
    assert seen == [[], ["title"], ["title"]]
    assert [answer.user_id for answer in answers] == [users[0], users[1], users[0], users[1]]
    assert answers[0] == answers[2]


def test_only_the_best_k_are_answered(loaded: LoadedModel, requests: list[RankRequest]) -> None:
    assert [item.rank for item in rank_answers(loaded, requests)[1].items] == [1, 2]


def test_a_k_beyond_all_numbers_of_polars_leaves_nothing_out(loaded: LoadedModel, requests: list[RankRequest]) -> None:
    (answer,) = rank_answers(loaded, [requests[1].model_copy(update={"k": 10**40})])
    assert [item.rank for item in answer.items] == [1, 2, 3, 4]


@pytest.mark.parametrize("cell", ["why not", 7, '{"score": []}'])
def test_a_clients_own_reasons_are_ignored_unless_some_are_asked_for(
    loaded: LoadedModel, users: list[str], items: list[str], cell: object
) -> None:
    given = [{"item_id": items[0], "reasons": cell}, items[1]]
    (ranked,) = rank_answers(loaded, [RankRequest(user_id=users[0], items=given)])
    (plain,) = rank_answers(loaded, [RankRequest(user_id=users[0], items=items[:2])])
    assert ranked == plain
    (matched,) = match_answers(loaded, [ScoreRequest(user_id=users[0], items=given)])
    assert all(item.reasons is None for item in matched.items)
    with pytest.raises(DataError, match=r"candidates.reasons: expected no column of this name"):
        rank_answers(loaded, [RankRequest(user_id=users[0], items=given, explain=1)])


def test_unknown_users_and_items_are_flagged(loaded: LoadedModel, requests: list[RankRequest]) -> None:
    answers = rank_answers(loaded, requests)
    # A history makes a user known.
    assert [answer.unknown_user for answer in answers] == [False, False, False, False, False, True]
    unknown = [item.item_id for answer in answers for item in answer.items if item.unknown_item]
    assert unknown == ["not there"]


def test_items_without_a_feature_that_others_have_are_flagged_and_counted(users: list[str], items: list[str]) -> None:
    loaded = LoadedModel(model_with(*FEATURES), "here", datetime.now(UTC))
    given = [
        {"item_id": items[0], "ctr": 0.5, "device": "app"},
        {"item_id": items[1], "ctr": 0.5},
        {"item_id": items[2], "ctr": None, "device": "web"},
        {"item_id": items[3], "ctr": 0.5, "device": "fridge"},
        items[4],
    ]
    counted: list[UnmatchedRows] = []
    request = RankRequest(user_id=users[0], items=given)
    (answer,) = rank_answers(loaded, [request], counted.append)
    flagged = {item.item_id: item.missing_features for item in answer.items}
    assert flagged == {items[0]: False, items[1]: True, items[2]: True, items[3]: True, items[4]: True}
    assert counted == [UnmatchedRows(missing_features=4)]
    # With reasons they are read too.
    (explained,) = rank_answers(loaded, [request.model_copy(update={"explain": 1})])
    assert {item.item_id: item.missing_features for item in explained.items} == flagged
    with pytest.raises(DataError, match=r"candidates.device: expected the column, which is a feature of this model"):
        rank_answers(loaded, [RankRequest(user_id=users[0], items=given[1:2])])
    # The match reads none of them.
    (match,) = match_answers(loaded, [request], counted.append)
    assert counted[1] == UnmatchedRows()
    assert "missing_features" not in match.model_dump_json(exclude_unset=True)


def test_models_without_such_features_have_no_such_flag(loaded: LoadedModel, requests: list[RankRequest]) -> None:
    assert "missing_features" not in rank_answers(loaded, requests[:1])[0].model_dump_json(exclude_unset=True)


def test_what_no_call_could_match_is_counted(loaded: LoadedModel, requests: list[RankRequest]) -> None:
    counted: list[UnmatchedRows] = []
    rank_answers(loaded, requests, counted.append)
    assert sum(counted, UnmatchedRows()) == UnmatchedRows(unknown_users=3, unknown_items_with_text=1)


def test_matches_keep_the_order_of_the_request(loaded: LoadedModel, users: list[str], items: list[str]) -> None:
    requests = [ScoreRequest(user_id=users[1], items=items[5:0:-1]), ScoreRequest(user_id=users[3], items=items[:2])]
    answers = match_answers(loaded, requests)
    assert [item.item_id for item in answers[0].items] == items[5:0:-1]
    frame = pl.DataFrame({"user_id": users[1], "item_id": items[5:0:-1]})
    expected = loaded.model.match(frame)["match_score"].to_list()
    close([item.match_score for item in answers[0].items], expected, "float32")
    assert [item.item_id for item in answers[1].items] == items[:2]


def test_recommendations_of_a_batch_are_those_of_each_request(loaded: LoadedModel, users: list[str]) -> None:
    requests = [
        RecommendRequest(user_ids=users[:3], k=3),
        RecommendRequest(user_ids=["nobody", users[1]], k=3),
        RecommendRequest(user_ids=[users[1], users[1]], k=2, timestamp=TIME),
    ]
    together = recommend_answers(loaded, requests)
    assert [[user.user_id for user in answer.users] for answer in together] == [
        request.user_ids for request in requests
    ]
    for answer, request in zip(together, requests, strict=True):
        for user in answer.users:
            expected = loaded.model.recommend([user.user_id], k=request.k, timestamp=request.timestamp)
            assert [item.item_id for item in user.items] == expected["item_id"].to_list()
            assert [item.reason for item in user.items] == expected["reason"].to_list()
    assert [user.unknown_user for user in together[1].users] == [True, False]


def test_an_explanation_adds_up(loaded: LoadedModel, users: list[str], items: list[str]) -> None:
    answer = explain_answer(loaded, ExplainRequest(user_id=users[0], item_id=items[0]))
    expected = loaded.model.explain(users[0], items[0])
    assert answer.sentence == expected.sentence()
    close(answer.base_score + sum(slot.contribution for slot in answer.slots), answer.match_raw, "explanation")
    close(sum(answer.features.values()), answer.score, "explanation")


def test_texts_of_a_batch_get_what_the_model_gives_each_request(loaded: LoadedModel, users: list[str]) -> None:
    requests = [
        MatchTextsRequest(user_id=users[0], texts=["sound", "network"]),
        MatchTextsRequest(user_id="nobody", texts=["sound"]),
        MatchTextsRequest(user_id=users[1], texts=["network", "network", "graphics"], explain=2),
        MatchTextsRequest(user_id=users[0], texts=["sound"], timestamp=TIME),
    ]
    missing: list[UnmatchedRows] = []
    answers = match_text_answers(loaded, requests, missing.append)
    for request, answer in zip(requests, answers, strict=True):
        expected = loaded.model.match_texts(request.user_id, request.texts, timestamp=request.timestamp)
        assert [text.text for text in answer.texts] == request.texts
        close([text.match_raw for text in answer.texts], expected["match_raw"].to_list(), "same_rows")
        assert [text.reason for text in answer.texts] == expected["reason"].to_list()
        assert answer.unknown_user == (request.user_id == "nobody")
        assert answer.model == "here"
    assert [text.reasons is None for answer in answers for text in answer.texts] == [True] * 3 + [False] * 3 + [True]
    assert len(answers[2].texts[0].reasons["match_raw"]) <= 4  # type: ignore[index]
    assert sum(missing, UnmatchedRows()) == UnmatchedRows(unknown_users=1)
