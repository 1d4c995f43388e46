"""A real redis-server on loopback, for as long as it is needed."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from services import REDIS, redis_program


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(folder: Path, port: int, more: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """The server, which saves nothing by itself but reads a snapshot that is there; `more` are further options.

    The test skips where there is no Redis.
    """
    program = redis_program()
    if program is None:
        pytest.skip(REDIS)
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    server = subprocess.Popen([program, *options, *more], stdout=subprocess.DEVNULL)
    try:
        # By address, since a minimal system does not resolve "localhost"; without retries, which are counted here.
        client = redis.Redis(host="127.0.0.1", port=port, retry=Retry(NoBackoff(), 0))
        for _ in range(200):
            try:
                client.ping()
                break
            except redis.AuthenticationError:
                break  # it runs, and asks for the password
            except redis.ConnectionError:
                time.sleep(0.05)
        else:
            pytest.fail("redis-server did not answer within 10 s")
        client.close()
        yield server
    finally:
        server.kill()
        server.wait()
