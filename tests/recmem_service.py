"""`recmem serve` as a process of its own, for tests that ask it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from redis_server import free_port

COMMAND = "from recmem.cli import main; main()"
PATIENCE_S = 60


@contextmanager
def serving(*options: object, tracking: str = "") -> Iterator[Callable[..., dict[str, Any]]]:
    """A running service; gives a function that asks it: a path, and what to post if anything."""
    port = free_port()
    command = [sys.executable, "-c", COMMAND, "serve", "--port", str(port), *map(str, options)]
    environment = os.environ | ({"MLFLOW_TRACKING_URI": tracking} if tracking else {})
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def ask(path: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", data, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
            answer: dict[str, Any] = json.load(response)
            return answer

    try:
        wait_until(lambda: process.poll() is not None or _answers(ask))
        assert process.poll() is None, process.communicate()[1]
        yield ask
    finally:
        process.terminate()
        process.communicate()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Waits until `is_so`, and fails the test after a minute."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def _answers(ask: Callable[..., object]) -> bool:
    try:
        ask("/healthz")
    except (urllib.error.URLError, ConnectionError):
        return False
    return True
