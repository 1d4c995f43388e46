"""An MLflow server that is away is found at once, and one that is there, in whatever state, is left to MLflow."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from feature_store import DataError
from recmem.serving.registry import registered_versions, registry_at, tracking_at, version_at
from recmem.serving.tracking_server import check_answers
from redis_server import free_port


@contextmanager
def server(status: int) -> Iterator[str]:
    """A server that answers everything with this status; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    running = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


@pytest.mark.parametrize("status", [200, 401, 404, 500])
def test_any_answer_will_do(status: int) -> None:
    with server(status) as address:
        check_answers(address)
        check_answers(f"{address}/behind/a/path/")


@pytest.mark.parametrize("uri", ["sqlite:///absent.db", "postgresql://host/db", "databricks", "", "a/folder"])
def test_what_is_no_servers_address_is_left_to_mlflow(uri: str) -> None:
    check_answers(uri)


def test_a_closed_port_is_told_at_once_and_without_the_password() -> None:
    address = f"127.0.0.1:{free_port()}"
    begin = time.perf_counter()
    with pytest.raises(DataError) as refused:
        check_answers(f"http://me:hunter2@{address}")
    assert str(refused.value).startswith(
        f"tracking: expected MLflow's server, got no answer from 'http://{address}' ([Errno 111] Connection refused)."
    )
    assert time.perf_counter() - begin < 5
    assert refused.value.__cause__ is None or "hunter2" not in str(refused.value.__cause__)


def test_a_server_that_takes_a_connection_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(DataError, match=r"got no answer from .* \(timed out\)"):
            check_answers(address, within_s=0.3)


def test_every_way_to_the_registry_finds_a_closed_port_at_once() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    begin = time.perf_counter()
    with pytest.raises(DataError, match="got no answer from"), registry_at(address):
        pass
    with tracking_at(address):
        for call in (registered_versions, lambda: version_at("models:/recmem@champion")):
            with pytest.raises(DataError, match="got no answer from"):
                call()
    assert time.perf_counter() - begin < 20
