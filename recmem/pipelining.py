"""Threads that work side by side or beside something else, prepare pieces ahead, or write finished ones behind."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from threading import Event
from typing import TypeVar

MAX_WAITING = 2
"""Pieces in memory that are read and not yet processed, or processed and not yet written."""

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def bound_cores() -> int:
    """Cores that this process is bound to: fewer than the machine's in a container, or under `taskset`."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(work: Callable[[Piece], Result], pieces: Iterable[Piece], n_threads: int) -> Iterator[Result]:
    """`work` of every piece, in their order, `n_threads` at a time; what it raises is raised here, in its place."""
    with ThreadPoolExecutor(n_threads) as threads:
        yield from threads.map(work, pieces)


def ahead(pieces: Generator[Piece, None, None]) -> Generator[Piece, None, None]:
    """The pieces in their order, while a thread prepares the next `MAX_WAITING` of them.

    What `pieces` raises is raised here, in its place. Closing this generator closes `pieces` too, after the piece that
    it is working on.
    """
    waiting: deque[Future[list[Piece]]] = deque()
    with ThreadPoolExecutor(1) as thread:
        try:
            waiting.extend(thread.submit(_next, pieces) for _ in range(MAX_WAITING))
            while piece := waiting.popleft().result():
                waiting.append(thread.submit(_next, pieces))
                yield piece[0]
        finally:
            thread.shutdown(cancel_futures=True)
            pieces.close()


def _next(pieces: Iterator[Piece]) -> list[Piece]:
    """The next piece in a list, which is empty at the end: a Future cannot pass on a StopIteration."""
    return list(islice(pieces, 1))


@contextmanager
def beside(works: Iterable[Callable[[], object]]) -> Iterator[None]:
    """Runs the works one after the other in a thread while the block runs, and waits for the last one at its end.

    What one of them raises is raised there, and none is begun after it. If the block itself raises, no other is begun.
    """
    has_failed = Event()

    def work() -> None:
        for each in works:
            if has_failed.is_set():
                return
            each()

    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(work)
        try:
            yield
        except BaseException:
            has_failed.set()
            raise
        working.result()


@contextmanager
def behind(write: Callable[[Piece], None], *, at_most: int = MAX_WAITING) -> Iterator[Callable[[Piece], None]]:
    """A function that hands a piece to a thread, which writes the pieces one after the other.

    The function blocks while `at_most` pieces are waiting to be written. What `write` raises is raised by a later call
    or at the end of the block, and nothing is written after it. If the block itself raises, the pieces that it has
    handed over are still written.
    """
    waiting: deque[Future[None]] = deque()
    has_failed = Event()

    def write_unless_failed(piece: Piece) -> None:
        if has_failed.is_set():
            return
        # Set before and cleared after: stays set if `write` raises.
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
