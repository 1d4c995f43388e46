"""A drive as a network mounts it, whose server goes away: a folder behind FUSE, served by a process of its own.

It counts what it is asked. After a number of requests it is lost: the server is killed, so that every later call fails
with ENOTCONN as it does where a mount's server has died, or answers every call with EIO or ESTALE.
"""

from __future__ import annotations

import ctypes
import errno
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services import FUSE as FUSE_MISSING
from services import MOUNT, has_fuse

ENDS = {"killed": 0, "EIO": errno.EIO, "ESTALE": errno.ESTALE}
"""How a drive is lost, and what its calls fail with; a killed server answers no more."""
STARTS_S = 20.0
"""A server that takes longer does not start."""


class Drive:
    """A mounted drive: `requests` counts what was asked of it."""

    def __init__(self, requests: Any) -> None:
        self._requests = requests

    @property
    def requests(self) -> int:
        """How often anything was asked so far."""
        return int(self._requests.value)


@contextmanager
def mounted(backing: Path, place: Path, *, end: str = "killed", after: int | None = None) -> Iterator[Drive]:
    """What lies in `backing`, at `place`, until it is lost; OSError where this process may not mount anything."""
    if not has_fuse():
        raise OSError(FUSE_MISSING)
    context = multiprocessing.get_context("spawn")
    requests = context.Value(ctypes.c_longlong, 0)
    server = context.Process(target=_serve, args=(str(backing), str(place), end, after, requests))
    server.start()
    try:
        latest = time.monotonic() + STARTS_S
        while not _is_mounted(place):
            if not server.is_alive() or time.monotonic() > latest:
                raise OSError(MOUNT)
            time.sleep(0.01)
        requests.value = 0
        yield Drive(requests)
    finally:
        subprocess.run(["fusermount3", "-uzq", str(place)], check=False)
        server.join(STARTS_S)
        server.kill()
        server.join()


def _is_mounted(place: Path) -> bool:
    return any(line.split()[1] == str(place) for line in Path("/proc/mounts").read_text().splitlines())


def _serve(backing: str, place: str, end: str, after: int | None, requests: Any) -> None:
    from mfusepy import FUSE

    from tests.soak.drive_server import Folder

    def count() -> None:
        requests.value += 1
        if after is not None and requests.value > after:
            if not ENDS[end]:
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(ENDS[end], os.strerror(ENDS[end]))

    os.umask(0)
    FUSE(Folder(backing, count), place, foreground=True, nothreads=True, fsname="recmem-drive")
