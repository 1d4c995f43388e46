"""Where the server listens: the real port, in an address that a browser takes, and a refusal of one that is in use."""

from __future__ import annotations

import socket

import pytest
from fastapi import FastAPI

from feature_store import DataError
from recmem.server.listening import listen


class StopError(Exception):
    """Ends the server once it has told where it listens."""


@pytest.mark.parametrize(("host", "begin"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
def test_the_real_port_is_told_for_any_free_one(host: str, begin: str) -> None:
    if ":" in host and not _has_ipv6():
        pytest.skip("the machine has no IPv6")
    told: list[str] = []

    def stop(url: str) -> None:
        told.append(url)
        raise StopError

    with pytest.raises(StopError):
        listen(FastAPI(), host, 0, on_start=stop)
    (url,) = told
    assert url.startswith(begin)
    assert int(url.removeprefix(begin)) > 0


def test_a_port_that_is_in_use_is_refused_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(DataError, match=f"--port: expected an address .*, got 127.0.0.1:{port}. Give another"):
            listen(FastAPI(), "127.0.0.1", port, on_start=pytest.fail)


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
