"""Worker processes that score frames side by side, in their order, with one copy of the tables in memory.

Started anew (spawned), not forked: polars, torch and numba have threads. They end with this process, however it ends:
the connection closes, and the file of the tables has no name.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import Pipe
from queue import SimpleQueue
from threading import Condition
from types import TracebackType
from typing import IO, Any

import polars as pl

from recmem.batch.shared_object import write_shared
from recmem.batch.worker_process import LOGGER, receive, run_worker, sendable
from recmem.pipelining import bound_cores

SPARE = 2
"""Frames that are ready for the next idle worker, beside those that the workers score."""
_CODE = f"import sys; sys.path[:] = {{path!r}}; from {run_worker.__module__} import run_worker; run_worker({{fds}})"
_THREADS = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Environment variables that say how many threads a library uses; read when it is imported."""

Answer = Callable[[Any], Any]
"""Gives the parent's answer to what a scorer asks by `ask_parent`; runs in a thread of the parent."""


class WorkerKilledError(RuntimeError):
    """A worker process ended before it had scored its frame."""


class _WorkerTracebackError(Exception):
    """The traceback of an error in a worker, shown as the cause of the error here."""

    def __str__(self) -> str:
        return f"in a worker process:\n{self.args[0]}"


class _StoppedError(Exception):
    """Another frame has failed, or the caller has stopped: nobody wants the results of this one."""


class Workers:
    """`n_workers` processes that each call `scorer`, which can be pickled, with frames. For a `with` block."""

    def __init__(self, scorer: Callable[[pl.DataFrame], Any], n_workers: int, *, answer: Answer | None = None) -> None:
        """`answer` gets what a scorer asks by `ask_parent`: one question at a time, in the order of the frames.

        So an answer may depend on those before it, as vectors do that are kept.
        """
        self.n_workers = n_workers
        self._answer = answer
        self._takes = _Turns()
        self._asks = _Turns()
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._workers: list[_Worker] = []
        n_threads = max(usable_cores() // n_workers, 1)
        with tempfile.TemporaryFile(prefix="recmem-workers-") as file:
            write_shared(scorer, file)
            try:
                for _ in range(n_workers):
                    self._workers.append(_Worker(file, n_threads))
            except BaseException:
                self.close()
                raise
        for worker in self._workers:
            self._idle.put(worker)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes, whatever they are doing."""
        for worker in self._workers:
            worker.end()

    def in_order(self, frames: Iterable[pl.DataFrame]) -> Generator[Any, None, None]:
        """What the scorer returns for each frame, in their order. It can be called once.

        Holds at most `n_workers` + `SPARE` frames, and as many results. What the scorer raises is raised here, in its
        place; WorkerKilledError if a worker was killed.
        """
        waiting: deque[Future[tuple[Any, ...]]] = deque()
        at_most = self.n_workers + SPARE
        with ThreadPoolExecutor(at_most) as threads:
            try:
                for number, frame in enumerate(frames):
                    if len(waiting) == at_most:
                        yield _result(waiting.popleft().result())
                    waiting.append(threads.submit(self._score, number, frame))
                while waiting:
                    yield _result(waiting.popleft().result())
            except BaseException:
                # Nobody wants the other frames any more: their threads stop waiting, for a turn or for a worker.
                self._takes.stop()
                self._asks.stop()
                self.close()
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _score(self, number: int, frame: pl.DataFrame) -> tuple[Any, ...]:
        content = pickle.dumps(("score", frame), protocol=5)
        worker = self._taken(number)
        try:
            reply = worker.exchange(content)
            while reply[0] == "ask":
                reply = worker.exchange(self._answered(number, reply[1]))
            return reply
        finally:
            self._asks.end(number)
            self._idle.put(worker)

    def _taken(self, number: int) -> _Worker:
        """An idle worker. Frames take them in their order.

        Otherwise all workers may have frames that wait for the answer of an earlier one, which never gets a worker.
        """
        self._takes.wait_for(number)
        try:
            return self._idle.get()
        finally:
            self._takes.end(number)

    def _answered(self, number: int, question: object) -> bytes:
        try:
            self._asks.wait_for(number)
            if self._answer is None:
                raise TypeError("question: expected none without `answer`, got one. Give `answer` too.")
            return pickle.dumps(("answer", self._answer(question)), protocol=5)
        except Exception as error:  # raised in the worker, which reports it
            return pickle.dumps(("failed", sendable(error)), protocol=5)
        finally:
            self._asks.end(number)


def usable_cores() -> int:
    """Cores that this process may use: those that it is bound to, fewer if OMP_NUM_THREADS says so."""
    bound = bound_cores()
    given = os.environ.get("OMP_NUM_THREADS", "")
    return min(bound, int(given)) if given.isdecimal() and int(given) else bound


def _result(reply: tuple[Any, ...]) -> Any:
    """What the worker has returned, or raises what it has raised; logs what it has logged."""
    for level, text in reply[-1]:
        logging.getLogger(LOGGER).log(level, "%s", text)
    if reply[0] == "failed":
        raise reply[1] from _WorkerTracebackError(reply[2])
    return reply[1]


class _Worker:
    """A process, and the connection to it."""

    def __init__(self, file: IO[bytes], n_threads: int) -> None:
        self._connection, theirs = Pipe()
        fds = (theirs.fileno(), file.fileno())
        code = _CODE.format(path=sys.path, fds=", ".join(map(str, fds)))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                env=os.environ | dict.fromkeys(_THREADS, str(n_threads)),
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        finally:
            theirs.close()

    def exchange(self, content: bytes) -> tuple[Any, ...]:
        """Sends a message and returns the reply. Raises WorkerKilledError if the worker is gone."""
        try:
            self._connection.send_bytes(content)
            return receive(self._connection)
        except (EOFError, OSError) as error:
            raise WorkerKilledError(_in_words(self._process.wait())) from error

    def end(self) -> None:
        """Kills the process; it has nothing that it would have to put in order."""
        self._process.kill()
        self._process.wait()


def _in_words(code: int) -> str:
    how = f"exit code {code}"
    if code < 0:
        how = f"signal {-code} ({signal.Signals(-code).name})"
    cause = ": probably memory ran out" if code in (-signal.SIGKILL, -signal.SIGABRT) else ""
    return (
        f"workers: expected processes that score all rows, got one that ended with {how}{cause}. Give fewer --workers, "
        "a smaller --chunk-rows, or more memory."
    )


class _Turns:
    """Lets the frames' threads through one by one, in the order of the frames."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._ended: set[int] = set()
        self._next = 0
        self._is_stopped = False

    def wait_for(self, number: int) -> None:
        """Returns once the turn of every frame before this one has ended. Raises _StoppedError after `stop`."""
        with self._changed:
            self._changed.wait_for(lambda: self._next >= number or self._is_stopped)
            if self._is_stopped:
                raise _StoppedError

    def end(self, number: int) -> None:
        """Ends the turn of this frame, which may not have begun."""
        with self._changed:
            if number >= self._next:
                self._ended.add(number)
            while self._next in self._ended:
                self._ended.remove(self._next)
                self._next += 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Ends the waiting of all, and lets nobody through any more."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
