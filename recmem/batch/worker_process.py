"""What runs in a worker process of `recmem.batch.workers`: scores one frame after the other, until nobody asks.

Messages are pickled tuples that begin with what they are. The parent sends ("score", frame). The worker may send
("ask", question), to which the parent sends ("answer", value) or ("failed", error), and at last it sends
("scored", result, log records) or ("failed", error, traceback, log records).
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import time
import traceback
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

LOGGER = "recmem"
"""What is logged here under this name reaches the parent's logger of this name."""
_LOOK_S = 1.0
"""How often a worker looks whether its parent is alive: it may be killed in the middle of a long chunk."""

_parent: list[Connection] = []
"""The connection to the parent, in a worker; empty elsewhere."""


class _ParentGoneError(Exception):
    """The parent has ended, or wants no more results. A scorer's own lost connections are its errors, and not this."""


def send(connection: Connection, *message: object) -> None:
    """Sends a message."""
    connection.send_bytes(pickle.dumps(message, protocol=5))


def receive(connection: Connection) -> tuple[Any, ...]:
    """The next message. Raises EOFError or OSError if the other process is gone."""
    message: tuple[Any, ...] = pickle.loads(connection.recv_bytes())
    return message


def ask_parent(question: object) -> Any:
    """What the parent answers to the question, or raises; at most one question for each frame."""
    try:
        send(_parent[0], "ask", question)
        kind, answer = receive(_parent[0])
    except (EOFError, ConnectionError) as error:
        raise _ParentGoneError from error
    if kind == "failed":
        raise answer
    return answer


def run_worker(connection_number: int, file_number: int) -> None:
    """Scores frames with the shared object of the file, until the parent closes the connection or is gone."""
    # Ctrl-C reaches all processes of the terminal: the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    connection = Connection(connection_number)
    _parent[:] = [connection]
    records = _Records()
    logging.getLogger(LOGGER).addHandler(records)
    logging.getLogger(LOGGER).propagate = False
    scorer = None
    try:
        while True:
            _, frame = receive(connection)
            try:
                scorer = scorer or _read(file_number)
                message: tuple[object, ...] = ("scored", scorer(frame), records.taken())
            except _ParentGoneError:
                raise
            except BaseException as error:  # the parent raises it, whatever it is
                message = ("failed", sendable(error), traceback.format_exc(), records.taken())
            send(connection, *message)
    except (EOFError, ConnectionError, _ParentGoneError):
        return


def _read(file_number: int) -> Any:
    from recmem.batch.shared_object import read_shared  # polars and torch: seconds, and they may lack memory

    with os.fdopen(file_number, "rb", closefd=False) as file:
        return read_shared(file)


def sendable(error: BaseException) -> BaseException:
    """The error, or a RuntimeError with its name and text if it cannot be pickled, such as a panic of polars."""
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its class does
        copy = None
    if type(copy) is type(error) and str(copy) == str(error):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


class _Records(logging.Handler):
    """Keeps level and text of what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        self._kept.append((record.levelno, record.getMessage()))

    def taken(self) -> list[tuple[int, str]]:
        """What was logged since the last call."""
        kept, self._kept = self._kept, []
        return kept
