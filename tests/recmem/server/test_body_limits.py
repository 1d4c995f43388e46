"""Bodies of requests that are too large, or that do not come."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

from recmem.server.body_limits import MAX_BODY_BYTES, BodyLimits


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    return app


def test_a_body_that_is_too_large_is_refused(app: FastAPI) -> None:
    app.add_middleware(BodyLimits)
    client = TestClient(app)
    assert client.post("/length", content=b" " * MAX_BODY_BYTES).json() == MAX_BODY_BYTES
    answer = client.post("/length", content=b" " * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 413
    assert "expected at most 8,000,000 bytes" in answer.json()["detail"]


def test_a_body_that_does_not_come_is_given_up(app: FastAPI) -> None:
    app.add_middleware(BodyLimits, timeout_s=0.2)
    pieces: list[dict[str, Any]] = [{"type": "http.request", "body": b"the beginning", "more_body": True}]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not pieces:
            await asyncio.sleep(60)
        return pieces.pop()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/length", "query_string": b"", "headers": []}
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 30))
    assert sent[0]["status"] == 408
    assert b"body: expected it within 0.2 seconds" in sent[1]["body"]
