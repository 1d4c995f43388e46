"""Answers to requests that cannot be answered: a status, and in words why."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError

from feature_store import DataError
from feature_store.redis import UnavailableError
from recmem.server.batcher import OverloadError

RETRY_AFTER_S = 1
MAX_FAULTS = 20
"""Faults of a request's form in one answer, at most."""
MAX_SHOWN_CHARS = 200
"""Characters of what a client sent that are sent back, at most."""
_NOT_JSON = "expected JSON, got a body of another type. Send it with the header Content-Type: application/json."
"""What pydantic would call no valid dictionary: FastAPI leaves such a body as bytes."""


def add_refusals(app: FastAPI) -> None:
    """Lets the application answer errors as JSON with `detail`: 400, 422, 500 or 503."""
    app.add_exception_handler(DataError, _refused)
    app.add_exception_handler(UnavailableError, _unavailable)
    app.add_exception_handler(OverloadError, _overloaded)
    app.add_exception_handler(RequestValidationError, _invalid_form)
    app.add_exception_handler(Exception, _failed)


async def _refused(_: Request, error: Exception) -> Response:
    return _answer(400, str(error))


async def _unavailable(_: Request, error: Exception) -> Response:
    """Of shared memories that do not answer: not the client's mistake."""
    return _answer(503, str(error), retry=True)


async def _overloaded(_: Request, error: Exception) -> Response:
    detail = "requests: expected fewer at a time, got more than may wait. Try again later, or start more processes."
    return _answer(503, detail, retry=True)


async def _invalid_form(_: Request, error: Exception) -> Response:
    """As FastAPI answers, but short, whatever was sent, and always JSON: NaN and torn characters may be in it."""
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    detail = [
        {
            "type": fault["type"],
            "loc": fault["loc"],
            "msg": _NOT_JSON if isinstance(fault.get("input"), bytes) else fault["msg"][:MAX_SHOWN_CHARS],
            "input": _shown(fault.get("input")),
        }
        for fault in faults[:MAX_FAULTS]
    ]
    more = len(faults) - MAX_FAULTS
    if more > 0:
        detail.append({"type": "more", "loc": ["body"], "msg": f"{more:,} more faults", "input": None})
    return _answer(422, detail)


async def _failed(_: Request, error: Exception) -> Response:
    """An error that nobody foresaw: the log has it, the client does not."""
    return _answer(500, "The request could not be answered because of an error of the service. Its log says more.")


def _shown(value: object) -> object:
    """What a client sent, cut if it is long."""
    if value is None or (isinstance(value, bool | int) and abs(value) < 2**53):
        return value
    text = value if isinstance(value, str) else _beginning(value)
    return text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}..."


def _beginning(value: object) -> str:
    # Not all of a value of megabytes in every one of its faults.
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value):,}"
    try:
        return repr(value)
    except ValueError:  # more digits than Python writes
        return type(value).__name__


def _answer(status: int, detail: Any, *, retry: bool = False) -> Response:
    headers = {"Retry-After": str(RETRY_AFTER_S)} if retry else None
    # ASCII: text that is no UTF-8 is escaped too.
    body = json.dumps({"detail": detail}, ensure_ascii=True, default=str)
    return Response(body, status_code=status, headers=headers, media_type="application/json")
