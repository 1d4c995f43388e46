"""Refuses bodies of requests that are too large, or that come too slowly."""

from __future__ import annotations

import asyncio
import time

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 8_000_000
BODY_TIMEOUT_S = 30.0
"""Until a request's body is there as a whole; a client that sends it more slowly is refused."""


class BodyLimits:
    """ASGI middleware that refuses such bodies, with status 413 or 408, while the application reads them."""

    def __init__(self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES, timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        deadline = time.perf_counter() + self._timeout_s
        n_bytes = 0
        is_whole = False

        async def bounded() -> Message:
            nonlocal n_bytes, is_whole
            if is_whole:  # what comes next is that the client has gone, whenever that is
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(deadline - time.perf_counter(), 0))
            except TimeoutError as error:
                expected = f"body: expected it within {self._timeout_s:g} seconds, got only the beginning."
                raise HTTPException(408, f"{expected} Send it again.") from error
            is_whole = not message.get("more_body", False)
            n_bytes += len(message.get("body", b""))
            if n_bytes > self._max_bytes:
                expected = f"body: expected at most {self._max_bytes:,} bytes, got more."
                raise HTTPException(413, f"{expected} Send fewer items.")
            return message

        await self._app(scope, bounded, send)
