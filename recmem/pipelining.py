"""Work side by side: what is read next is read, and what is done is written, while the present piece is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from threading import Event
from typing import TypeVar

AT_MOST = 2
"""Pieces that wait in memory, read and not yet worked on, or done and not yet written."""

Piece = TypeVar("Piece")


def ahead(pieces: Generator[Piece, None, None]) -> Generator[Piece, None, None]:
    """The pieces in their order, the next `AT_MOST` made in a thread meanwhile; what it raises is raised here.

    Whoever stops early stops the thread as well: `pieces` is closed, after the piece at hand.
    """
    waiting: deque[Future[list[Piece]]] = deque()
    with ThreadPoolExecutor(1) as thread:
        try:
            waiting.extend(thread.submit(_next, pieces) for _ in range(AT_MOST))
            while piece := waiting.popleft().result():
                waiting.append(thread.submit(_next, pieces))
                yield piece[0]
        finally:
            thread.shutdown(cancel_futures=True)
            pieces.close()


def _next(pieces: Iterator[Piece]) -> list[Piece]:
    """The next piece in a list, which is empty at the end: a StopIteration cannot pass through a thread's result."""
    return list(islice(pieces, 1))


@contextmanager
def behind(write: Callable[[Piece], None], *, at_most: int = AT_MOST) -> Iterator[Callable[[Piece], None]]:
    """A function that has pieces written in a thread, one after the other, and waits where `at_most` are not yet.

    What `write` raises is raised by a later call or at the end, and nothing is written after it. Where the caller
    fails, what was put before is still written.
    """
    waiting: deque[Future[None]] = deque()
    has_failed = Event()

    def write_unless_failed(piece: Piece) -> None:
        if has_failed.is_set():
            return
        has_failed.set()
        write(piece)
        has_failed.clear()

    with ThreadPoolExecutor(1) as thread:

        def put(piece: Piece) -> None:
            if len(waiting) == at_most:
                waiting.popleft().result()
            waiting.append(thread.submit(write_unless_failed, piece))

        yield put
        while waiting:
            waiting.popleft().result()
