"""The server's process: it says where it listens once it does, and refuses an address that it cannot have."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from feature_store import DataError

SHUTDOWN_S = 30
"""What is being answered may take so long when the process is told to end."""


def listen(app: FastAPI, host: str, port: int, *, on_start: Callable[[str], None]) -> None:
    """Answers requests until the process is told to end; `on_start` is called with the URL, its port the real one.

    Raises DataError if it cannot listen at the address, such as a port that is in use.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        # Or a client that never reads its answer would keep the process from ending.
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    # uvicorn has ended in order then, and raises its signal once more.
    with suppress(KeyboardInterrupt):
        _Server(config, on_start).run()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_start: Callable[[str], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        try:
            await super().startup(sockets=sockets)
        except SystemExit as error:
            if self.lifespan.should_exit:  # the application could not start, and uvicorn has logged why
                raise
            expected = "--port: expected an address that the service can listen at"
            remedy = "Give another --port, 0 for any free one, or another --host; the line above says what is wrong."
            raise DataError(f"{expected}, got {host}:{self.config.port}. {remedy}") from error
        if self.started:
            self._on_start(f"http://{host}:{self.servers[0].sockets[0].getsockname()[1]}")
