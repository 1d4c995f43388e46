"""One training at a time in a folder: a lock that its process takes with it when it ends, however it ends."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from feature_store import DataError

LOCK = ".training.lock"
HOLDER = ".training.json"


@contextmanager
def only_training_in(folder: Path) -> Iterator[None]:
    """Keeps other trainings out of the folder for the block; DataError at once if one is under way there.

    The lock is the operating system's (flock; on Windows a locked byte), so a killed training leaves none behind. On
    NFS it also holds between machines that mount with locking, as is usual; on a file system without locks a file
    takes its place, which a killed training leaves behind.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DataError(_refusal(folder)) from None
    try:
        _note_holder(folder / HOLDER)
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def _note_holder(path: Path) -> None:
    since = datetime.now(UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
    path.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since}))


def _refusal(folder: Path) -> str:
    remedy = "Wait for it to end, or choose another folder."
    return f"out: expected a folder that no other training writes to, got {folder}, where {_holder(folder)}. {remedy}"


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / HOLDER).read_text())
        return f"process {holder['pid']} on {holder['host']} is training since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process is training"  # it has just begun or ended
