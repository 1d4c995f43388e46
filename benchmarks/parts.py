"""Measures the parts of a benchmark, each in a process of its own, so that what breaks one leaves the others whole.

After one bad address a GPU fails everything else that its process asks of it, and some faults end the process.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import cast

from benchmarks.timing import Row

LIMIT_S = 1200
"""A part that takes longer is stopped: it is taken to hang."""
FAILED = "failed"
"""The way of a row that stands for a part that failed; the note says why."""


@dataclass(frozen=True)
class Part:
    """What one process measures."""

    name: str
    rows: Callable[..., Iterable[list[Row]]]
    """A function of a module, which the process imports, and its arguments."""
    arguments: tuple[object, ...] = ()


def chosen(parts: Sequence[Part], names: Sequence[str]) -> list[Part]:
    """The parts whose names begin with one of these, or all of them if there are none.

    Raises SystemExit, with the names that there are, if one names no part.
    """
    unknown = [name for name in names if not any(part.name.startswith(name) for part in parts)]
    if unknown:
        known = ", ".join(repr(part.name) for part in parts)
        raise SystemExit(f"parts: expected beginnings of {known}, got {unknown[0]!r}.")
    return [part for part in parts if not names or part.name.startswith(tuple(names))]


def measured(parts: Iterable[Part], *, limit_s: float = LIMIT_S) -> Iterator[list[Row]]:
    """The rows of each part as they are measured.

    A part that fails leaves those that it has measured and one that says why; its traceback goes to stderr.
    """
    context = get_context("spawn")
    for part in parts:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_measure, args=(part, sender))
        process.start()
        sender.close()  # the process's end closes the last one, and `recv` knows it
        try:
            yield from _received(part, receiver, time.monotonic() + limit_s)
        except EOFError:
            process.join()
            yield [_failure(part, f"the process ended with exit code {process.exitcode}")]
        finally:
            # The commands that a part runs are in its group: they would go on, and disturb the next part.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(cast(int, process.pid), signal.SIGKILL)
            process.kill()
            process.join()


def _received(part: Part, receiver: Connection, deadline: float) -> Iterator[list[Row]]:
    while receiver.poll(max(deadline - time.monotonic(), 0)):
        kind, content = receiver.recv()
        if kind == "rows":
            yield content
            continue
        if kind == FAILED:
            print(content, file=sys.stderr, flush=True)
            yield [_failure(part, content.strip().splitlines()[-1])]
        return
    yield [_failure(part, "stopped, since it took too long")]


def _measure(part: Part, sender: Connection) -> None:
    os.setsid()  # a group of its own, see `measured`
    try:
        for rows in part.rows(*part.arguments):
            sender.send(("rows", rows))
    except (Exception, SystemExit):  # whatever it is, the other parts are measured
        sender.send((FAILED, traceback.format_exc()))
    else:
        sender.send(("done", None))


def _failure(part: Part, why: str) -> Row:
    return Row(part.name, "", FAILED, 0.0, "", 0.0, why.replace("|", "/"))
