"""A call in a forked child of the test's process, which is killed if the call does not return."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Callable

LIMIT_S = 20.0
"""A call that waits for threads that are not there would wait for ever."""


def in_child(call: Callable[[], object]) -> str:
    """What the call returned, or the name and text of its error; "no answer" if it had to be killed."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python: the process has threads
        child = os.fork()
    if child == 0:
        _answer(call, writer)
    os.close(writer)
    begin = time.monotonic()
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() - begin > LIMIT_S:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(0.01)
    with os.fdopen(reader, "rb") as answer:
        return answer.read().decode() or "no answer"


def _answer(call: Callable[[], object], writer: int) -> None:
    """Runs in the child, and ends it without what pytest would do at its end."""
    try:
        text = repr(call())
    except BaseException as error:  # the parent reports it, whatever it is
        text = f"{type(error).__name__}: {error}"
    os.write(writer, text[:4000].encode())
    os._exit(0)
