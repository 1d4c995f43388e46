"""A server that speaks S3 on loopback, in a process of its own, for as long as it is needed."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

BUCKET = "shop"
SECRET = "a-secret-that-nobody-may-read"
_WAIT_S = 30.0


@dataclass(frozen=True)
class S3:
    """A running server with an empty bucket."""

    port: int

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to be told: the server in place of Amazon's, and the credentials."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "an-access-key",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def url(self, key: str) -> str:
        """The object's address."""
        return f"s3://{BUCKET}/{key}"

    def put(self, key: str, content: bytes) -> None:
        """Writes an object."""
        self._client().put_object(Bucket=BUCKET, Key=key, Body=content)

    def put_folder(self, folder: Path, prefix: str) -> None:
        """Writes the files of a folder below the prefix."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder)}", path.read_bytes())

    def get(self, key: str) -> bytes:
        """The object's content."""
        content: bytes = self._client().get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def names(self) -> list[str]:
        """The keys of all objects."""
        return [found["Key"] for found in self._client().list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def create_bucket(self) -> None:
        """Creates the bucket, empty."""
        self._client().create_bucket(Bucket=BUCKET)

    def _client(self) -> Any:
        # Another client than the one that is tested.
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id="an-access-key",
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )


@contextmanager
def running() -> Iterator[S3]:
    """A server with an empty bucket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(server, port)
        s3 = S3(port)
        s3.create_bucket()
        yield s3
    finally:
        server.kill()
        server.wait()


def _wait(server: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + _WAIT_S
    while time.monotonic() < until and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail("the S3 server did not answer")
