"""A process that was forked after its parent had used recmem is refused with an error: it would hang.

A fork copies one thread only. The pools of polars, Delta Lake and torch look alive in the copy, but their threads are
gone, and the first call that hands them work never returns. docs/serving.md describes serving with several processes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_THREADS = Path("/proc/self/task")
_OF_POLARS = re.compile(r"polars-\d+\s*")
"""Names of the threads in the pool of polars, which begins with the first query."""

_users: list[int] = []
"""The process in which recmem, or polars, has begun to use threads; copied by a fork. Empty if none has."""


def refuse_forked() -> None:
    """Notes that this process uses thread pools. Raises DataError if it was forked from one that did.

    Every public call begins with this. Processes that were forked before that, or spawned, pass.
    """
    process = os.getpid()
    if not _users:
        _users.append(process)
    if _users[0] != process:
        from feature_store.data_errors import DataError  # brings polars, which this module must not need

        raise DataError(
            f"process: expected one that loads recmem's models and stores itself, got process {process}, forked from "
            f"process {_users[0]} after that one had used recmem or polars. A forked process lacks their threads and "
            "would hang. Load in each process: gunicorn without --preload, multiprocessing with the start "
            "method 'spawn' or 'forkserver'. Processes can share memories through Redis: recmem.load(..., online=...)."
        )


def _note_polars() -> None:
    """Before a fork: polars may have been used without recmem."""
    if not _users and _has_polars_threads():
        _users.append(os.getpid())


def _has_polars_threads() -> bool:
    """Whether the pool of polars runs in this process. False on systems other than Linux, where this is unknown."""
    try:
        return any(_OF_POLARS.fullmatch(_name(thread)) for thread in _THREADS.iterdir())
    except OSError:
        return False


def _name(thread: Path) -> str:
    try:
        return (thread / "comm").read_text()
    except OSError:  # it has ended in the meantime
        return ""


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_note_polars)
