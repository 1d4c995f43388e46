"""Refusals: a status and JSON with `detail`, whatever a client sent, and no more of it than is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from feature_store import DataError
from feature_store.redis import UnavailableError
from recmem.server.batcher import OverloadError
from recmem.server.refusals import MAX_FAULTS, add_refusals
from recmem.server.request_bodies import EventsRequest, RankRequest


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = FastAPI()
    add_refusals(app)

    @app.post("/rank")
    def rank(request: RankRequest) -> dict[str, str]:
        return {"user_id": request.user_id}

    @app.post("/events")
    def events(request: EventsRequest) -> dict[str, int]:
        return {"n": len(request.events)}

    raised = {
        "data": DataError("k: expected 1, got 2. Give 1."),
        "redis": UnavailableError("online: expected an answer, got none. Try again."),
        "overload": OverloadError(),
        "bug": ZeroDivisionError("the store's password is hunter2"),
    }

    @app.get("/raise/{name}")
    def failing(name: str) -> None:
        raise raised[name]

    with TestClient(app, raise_server_exceptions=False) as running:
        yield running


@pytest.mark.parametrize(
    ("name", "status", "words", "retry"),
    [
        ("data", 400, "k: expected 1", None),
        ("redis", 503, "online: expected an answer", "1"),
        ("overload", 503, "requests: expected fewer", "1"),
        ("bug", 500, "an error of the service", None),
    ],
)
def test_every_error_has_a_status_and_words(
    client: TestClient, name: str, status: int, words: str, retry: str | None
) -> None:
    answer = client.get(f"/raise/{name}")
    assert answer.status_code == status
    assert words in answer.json()["detail"]
    assert "hunter2" not in answer.text
    assert answer.headers.get("Retry-After") == retry


@pytest.mark.parametrize(
    "body",
    [
        '{"user_id": NaN, "items": ["a"]}',
        '{"user_id": -Infinity, "items": ["a"]}',
        '{"user_id": "\\ud800", "items": ["a"]}',
        '{"user_id": "a", "items": [NaN]}',
        '{"user_id": "a", "items": ["\\ud800"]}',
        '{"user_id": "a", "items": ["a"], "timestamp": NaN}',
        '{"user_id": "a", "items": ["a"], "timestamp": 1e400}',
        '{"user_id": "a", "items": ["a"], "timestamp": 99999999999999999999999}',
        '{"user_id": "a", "items": ["a"], "k": 1e400}',
        '{"user_id": "a", "items": ["a"], "\\ud800": 1}',
        '{"user_id": "a", "items": {"a": 1}}',
        '{"user_id": "a", "items": [{"item_id": null}]}',
        '["user_id"]',
        "null",
        "7",
        '"text"',
        "{",
        "",
    ],
)
def test_what_is_no_request_is_answered_with_422_in_json(client: TestClient, body: str) -> None:
    answer = client.post("/rank", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert json.loads(answer.content, parse_constant=pytest.fail)["detail"][0]["msg"]


def test_a_number_with_more_digits_than_python_reads_is_refused(client: TestClient) -> None:
    body = f'{{"user_id": {"9" * 5000}, "items": ["a"]}}'
    answer = client.post("/rank", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


def test_nesting_beyond_all_measure_is_refused(client: TestClient) -> None:
    answer = client.post("/rank", content="[" * 200_000, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


def test_bytes_of_another_type_are_refused(client: TestClient) -> None:
    answer = client.post("/rank", content=b"\xff\xfe\x00", headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_json_without_its_content_type_is_refused_with_what_to_do(client: TestClient) -> None:
    # What `curl -d` sends unless it is told otherwise.
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.post("/rank", content='{"user_id": "a", "items": ["a"]}', headers=form)
    assert answer.status_code == 422
    assert "Send it with the header Content-Type: application/json" in answer.json()["detail"][0]["msg"]


def test_a_large_request_with_many_faults_is_answered_in_few_words(client: TestClient) -> None:
    body: dict[str, Any] = {"items": [{"item_id": ["x" * 50]}] * 10_000, "surplus": "y" * 100_000}
    answer = client.post("/rank", json=body)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert len(detail) == MAX_FAULTS + 1
    assert detail[-1]["msg"].endswith("more faults")
    assert len(answer.content) < 10_000
