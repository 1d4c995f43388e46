"""The service over HTTP: what it answers, and what it says to requests that it cannot answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl
import pytest
from starlette.testclient import TestClient

from debian_model import trained_model
from described_users import describe_users
from feature_store import DataError
from recmem.server import service as service_module
from recmem.server.app import create_app
from recmem.server.body_limits import MAX_BODY_BYTES
from recmem.server.current_model import CurrentModel
from recmem.serving.model import Model
from tolerances import close


def client_of(max_waiting: int = 100, model: Model | None = None) -> TestClient:
    current = CurrentModel("a folder", lambda _: model or trained_model().model())
    return TestClient(create_app(current, max_waiting=max_waiting))


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """Shared: no test here may let it observe an event of the users below."""
    with client_of() as running:
        yield running


@pytest.fixture(scope="module")
def users() -> list[str]:
    return trained_model().events["user_id"].unique().sort().to_list()


@pytest.fixture(scope="module")
def items() -> list[str]:
    return trained_model().items["item_id"].to_list()


def test_clients_at_the_same_time_get_their_own_rankings(
    client: TestClient, users: list[str], items: list[str]
) -> None:
    requests = [{"user_id": user, "items": items[number : number + 9]} for number, user in enumerate(users[:24])]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda request: client.post("/rank", json=request).json(), requests))
    model = trained_model().model()
    for request, answer in zip(requests, answers, strict=True):
        frame = pl.DataFrame({"user_id": request["user_id"], "item_id": request["items"]})
        expected = model.rank(frame).sort("rank")
        assert answer["user_id"] == request["user_id"]
        assert [item["item_id"] for item in answer["items"]] == expected["item_id"].to_list()
        close([item["score"] for item in answer["items"]], expected["score"].to_list(), "float32")


def test_every_endpoint_answers(client: TestClient, users: list[str], items: list[str]) -> None:
    pair = {"user_id": users[0], "item_id": items[0]}
    assert (
        client.post("/match", json={"user_id": users[0], "items": items[:2]}).json()["items"][1]["item_id"] == items[1]
    )
    best = client.post("/recommend", json={"user_ids": users[:2], "k": 3}).json()["users"]
    assert [len(user["items"]) for user in best] == [3, 3]
    assert client.post("/explain", json=pair).json()["item_id"] == items[0]
    health = client.get("/healthz").json()
    assert (health["status"], health["model"], health["n_items"]) == ("ok", "a folder", len(items))


def test_reasons_add_up_to_the_scores_of_their_items(client: TestClient, users: list[str], items: list[str]) -> None:
    asked = {"user_id": users[0], "items": items[:5]}
    assert all("reasons" not in item for item in client.post("/rank", json=asked).json()["items"])
    ranked = client.post("/rank", json=asked | {"explain": 2}).json()["items"]
    for item in ranked:
        for score in ("match_raw", "score"):
            parts = item["reasons"][score]
            assert len(parts) <= 2 + 2  # what it begins with, two reasons, all others
            close([sum(part["contribution"] for part in parts)], [item[score]], "explanation")
    assert any(part.get("item_id") in items for item in ranked for part in item["reasons"]["match_raw"])
    matched = client.post("/match", json=asked | {"explain": 1}).json()["items"]
    assert [set(item["reasons"]) for item in matched] == [{"match_raw"}] * 5
    assert client.post("/rank", json=asked | {"explain": 21}).status_code == 422


def test_an_event_counts_from_the_next_request_on(items: list[str]) -> None:
    with client_of() as client:
        asked = {"user_id": "somebody new", "items": items[:2]}
        assert client.post("/rank", json=asked).json()["unknown_user"]
        event = {"user_id": "somebody new", "item_id": items[3], "timestamp": "2027-01-01"}
        told = client.post("/events", json={"events": [event, event | {"timestamp": "soon"}]}).json()
        assert (told["n_new"], told["n_rejected"]) == (1, 1)
        assert "expected a time" in next(iter(told["reasons"]))
        assert not client.post("/rank", json=asked).json()["unknown_user"]


def test_attributes_and_interests_of_users_count_from_the_next_request_on(items: list[str]) -> None:
    model = trained_model().model()
    describe_users(model, trained_model().events)
    with client_of(model=model) as client:
        asked = {"user_id": "somebody new", "item_id": items[0]}
        user = {"user_id": "somebody new", "age": 30, "plan": "paid", "interests": "network"}
        rows = [user, user | {"age": 30.5}, user | {"timestamp": "soon"}, {"age": 3}]
        told = client.post("/users", json={"users": rows}).json()
        assert (told["n_new"], told["n_duplicate"], told["n_rejected"]) == (1, 1, 2)
        assert {reason.partition(":")[0] for reason in told["reasons"]} == {"timestamp", "user_id"}
        row = model.dataset.profiles.table.filter(user_id="somebody new")
        assert row.select("age", "plan", "interests").row(0) == (30.5, "paid", "network")
        assert client.post("/users", json={"users": rows}).json()["n_new"] == 0
        assert client.post("/explain", json=asked).status_code == 200
        text = client.get("/metrics").text
        assert 'recmem_requests_total{path="/users",status="200"} 2.0' in text


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"users": []}, 422, "at least 1 item"),
        ({"users": [{"user_id": "a"}] * 10_001}, 422, "at most 10000 items"),
        ({"users": [{"user_id": "a"}], "events": []}, 422, "Extra inputs"),
        ({"users": [{"user_id": "a", "age": 3}, {"user_id": "b", "age": "3"}]}, 400, "users.age: expected one type"),
        ({"users": [{"user_id": "a", "seen": ["x"]}]}, 400, "users.seen: expected text, numbers or times, got a list"),
        ({"users": [{"age": 3}]}, 400, "users.user_id: expected the column"),
    ],
)
def test_rows_of_users_that_cannot_be_taken_are_refused_in_words(
    client: TestClient, body: dict[str, object], status: int, words: str
) -> None:
    answer = client.post("/users", json=body)
    assert answer.status_code == status
    assert words in answer.text


def test_texts_are_matched_with_the_memory_and_bounds_hold(client: TestClient, users: list[str]) -> None:
    asked = {"user_id": users[0], "texts": ["a library for sound", "a library for TLS"], "explain": 1}
    answer = client.post("/match_texts", json=asked).json()
    expected = trained_model().model().match_texts(users[0], asked["texts"])
    close([text["match_raw"] for text in answer["texts"]], expected["match_raw"].to_list(), "same_rows")
    assert (answer["user_id"], answer["unknown_user"]) == (users[0], False)
    assert all(len(text["reasons"]["match_raw"]) == 3 for text in answer["texts"])
    for body, status, words in (
        (asked | {"texts": []}, 422, "at least 1 item"),
        (asked | {"texts": ["x"] * 1001}, 422, "at most 1000 items"),
        (asked | {"texts": ["x" * 20_001]}, 422, "at most 20000 characters"),
        (asked | {"texts": ["\ud800"]}, 422, "unicode string"),
        (asked | {"items": ["x"]}, 422, "Extra inputs"),
        (asked | {"texts": [" . "]}, 400, "texts.text: expected a text, got null or no words"),
    ):
        refused = client.post("/match_texts", content=json.dumps(body), headers={"Content-Type": "application/json"})
        assert refused.status_code == status
        assert words in refused.text


def test_what_the_model_refuses_is_answered_in_its_words(client: TestClient, users: list[str]) -> None:
    answer = client.post("/explain", json={"user_id": users[0], "item_id": "not there"})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("item_id: expected an item of the store, got 'not there'")
    mixed = {"events": [{"user_id": "a", "item_id": 1, "timestamp": 0}, {"user_id": "b", "item_id": "x"}]}
    refused = client.post("/events", json=mixed)
    assert refused.status_code == 400
    assert refused.json()["detail"].startswith("events.item_id: expected one type in a column")


def test_a_candidate_with_a_column_of_the_result_is_refused_and_others_are_not(
    client: TestClient, users: list[str]
) -> None:
    answer = client.post("/rank", json={"user_id": users[0], "items": [{"item_id": "new", "score": 1}]})
    assert answer.status_code == 400
    assert "candidates.score" in answer.json()["detail"]


@pytest.mark.parametrize("body", [{}, {"user_id": "a", "items": []}, {"user_id": "a", "items": ["x"], "kk": 1}])
def test_a_request_of_another_form_is_answered_with_422(client: TestClient, body: dict[str, object]) -> None:
    assert client.post("/rank", json=body).status_code == 422


def test_more_requests_than_may_wait_are_told_to_come_again(
    users: list[str], items: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    answers = service_module.rank_answers

    def held(*arguments: Any) -> Any:
        assert go.wait(30)
        return answers(*arguments)

    monkeypatch.setattr(service_module, "rank_answers", held)
    asked = {"user_id": users[0], "items": items[:3]}
    with client_of(max_waiting=1) as client, ThreadPoolExecutor(6) as threads:
        sent = [threads.submit(client.post, "/rank", json=asked) for _ in range(6)]
        refused = [future for future in sent if _is_done(future)]
        go.set()
        codes = sorted(future.result().status_code for future in sent)
    assert refused
    assert codes[0] == 200
    assert codes[-1] == 503
    answer = next(future.result() for future in sent if future.result().status_code == 503)
    assert answer.headers["Retry-After"] == "1"
    assert "Try again later" in answer.json()["detail"]


def test_health_and_metrics_answer_while_all_threads_are_busy(
    items: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def held(*_: object) -> Any:
        assert go.wait(30)
        raise DataError("held")

    monkeypatch.setattr(CurrentModel, "observe", held)
    posted = {"events": [{"user_id": "a", "item_id": items[0], "timestamp": 0}]}
    more_than_threads = 60
    with client_of() as client, ThreadPoolExecutor(more_than_threads + 1) as threads:
        sent = [threads.submit(client.post, "/events", json=posted) for _ in range(more_than_threads)]
        assert not _is_done(sent[-1])
        asked = [threads.submit(client.get, path) for path in ("/healthz", "/metrics")]
        answered = [_is_done(future) for future in asked]
        go.set()
        assert {future.result().status_code for future in sent} == {400}
    assert answered == [True, True]


def _is_done(future: Any) -> bool:
    try:
        future.result(2)
    except TimeoutError:
        return False
    return True


def test_requests_are_counted_by_endpoint_and_status(users: list[str], items: list[str]) -> None:
    with client_of() as client:
        for _ in range(3):
            client.post("/rank", json={"user_id": users[0], "items": items[:3]})
        client.post("/rank", json={})
        client.get("/no/such/page")
        client.post("/match", content=b" " * (MAX_BODY_BYTES + 1))
        text = client.get("/metrics").text
    assert 'recmem_requests_total{path="/rank",status="200"} 3.0' in text
    assert 'recmem_requests_total{path="/rank",status="422"} 1.0' in text
    assert 'recmem_requests_total{path="other",status="404"} 1.0' in text
    assert 'recmem_requests_total{path="/match",status="413"} 1.0' in text
    assert 'recmem_batch_requests_count{path="/rank"} 3.0' in text
    assert 'recmem_model_info{model="a folder"} 1.0' in text
    assert "recmem_model_follow_failed 0.0" in text


def test_the_api_is_described(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    posted = {"/rank", "/match", "/match_texts", "/recommend", "/explain", "/events", "/users"}
    paths = posted | {"/healthz", "/metrics"}
    assert set(described["paths"]) == paths
    answer = described["paths"]["/rank"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {"$ref": "#/components/schemas/RankAnswer"}
    assert client.get("/docs").status_code == 200
