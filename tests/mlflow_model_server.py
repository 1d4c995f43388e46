"""`mlflow models serve` as a process of its own, for tests that post rows to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from redis_server import free_port

MLFLOW = (sys.executable, "-m", "mlflow", "models")
START_S = 90.0


def model_environment(store: Path) -> dict[str, str]:
    """The environment of a process that serves a model whose store has moved to `store`."""
    return os.environ | {
        "RECMEM_STORE": str(store),
        "PYTHONPATH": os.pathsep.join(sys.path),
        # MLflow starts uvicorn by its name.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }


@contextmanager
def serving(model: Path, environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """A server in a process group of its own; yields the address of its invocations."""
    port = free_port()
    command = [*MLFLOW, "serve", "-m", str(model), "-p", str(port), "--env-manager", "local"]
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        until = time.monotonic() + START_S
        while time.monotonic() < until and server.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping").close()
                break
            except OSError:
                time.sleep(0.2)
        else:
            pytest.fail(f"the server did not start: {log.read_text()[-2000:]}")
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        with suppress(ProcessLookupError):  # it may not have started
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def posted(address: str, body: object) -> list[dict[str, Any]]:
    """The predictions for `body`; a NaN or an infinity in the answer, which JSON does not know, fails the test."""
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        found: list[dict[str, Any]] = json.loads(response.read(), parse_constant=pytest.fail)["predictions"]
        return found
