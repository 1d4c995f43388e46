"""Requests that arrive while a batch is computed make up the next batch: no request waits for others to come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from queue import Empty, Full, Queue
from threading import Thread
from typing import Generic, TypeVar

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")


class OverloadError(Exception):
    """More requests wait than may; the client should come again later."""


class Batcher(Generic[RequestT, AnswerT]):
    """A thread that answers requests in batches, those first that came first."""

    def __init__(
        self,
        answer: Callable[[Sequence[RequestT]], Sequence[AnswerT]],
        *,
        size: Callable[[RequestT], int],
        max_size: int,
        max_waiting: int,
        on_batch: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`answer` gives one answer per request. A batch has at most `max_size` by `size`, or a single larger request.

        At most `max_waiting` requests wait. `on_batch` is called with the number of requests of each batch.
        """
        self._answer = answer
        self._size = size
        self._max_size = max_size
        self._on_batch = on_batch
        self._is_closed = False
        self._is_closing = False
        self._queue: Queue[tuple[RequestT, Future[AnswerT]] | None] = Queue(max_waiting)
        self._thread = Thread(target=self._run, name="recmem-batches", daemon=True)
        self._thread.start()

    def submit(self, request: RequestT) -> Future[AnswerT]:
        """The answer, once it is there. Raises OverloadError if too many requests wait, and after `close`."""
        future: Future[AnswerT] = Future()
        if self._is_closing:
            raise OverloadError
        try:
            self._queue.put_nowait((request, future))
        except Full as error:
            raise OverloadError from error
        return future

    def close(self) -> None:
        """Answers what waits, and ends the thread."""
        self._is_closing = True
        self._queue.put(None)
        self._thread.join()
        # What came in at the same moment.
        while not self._queue.empty():
            late = self._queue.get()
            if late is not None:
                late[1].set_exception(OverloadError())

    def _run(self) -> None:
        first = self._queue.get()
        while first is not None:
            batch = [first]
            size = self._size(first[0])
            following = self._next()
            while following is not None and size + self._size(following[0]) <= self._max_size:
                batch.append(following)
                size += self._size(following[0])
                following = self._next()
            self._serve([(request, future) for request, future in batch if future.set_running_or_notify_cancel()])
            # A request that no longer fitted begins the next batch.
            first = following or (None if self._is_closed else self._queue.get())

    def _next(self) -> tuple[RequestT, Future[AnswerT]] | None:
        """The next request if one waits already."""
        try:
            following = self._queue.get_nowait()
        except Empty:
            return None
        self._is_closed = following is None
        return following

    def _serve(self, batch: list[tuple[RequestT, Future[AnswerT]]]) -> None:
        if not batch:
            return
        try:
            self._on_batch(len(batch))
            answers = self._answers(request for request, _ in batch)
        except BaseException as error:  # broad on purpose: a panic of polars is no Exception
            self._serve_alone(batch, error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            future.set_result(answer)

    def _serve_alone(self, batch: list[tuple[RequestT, Future[AnswerT]]], error: BaseException) -> None:
        """One request in the batch cannot be answered: each alone, so that it fails by itself."""
        if len(batch) == 1:
            batch[0][1].set_exception(_as_exception(error))
            return
        for request, future in batch:
            self._serve_one(request, future)

    def _serve_one(self, request: RequestT, future: Future[AnswerT]) -> None:
        try:
            future.set_result(self._answers([request])[0])
        except BaseException as error:  # as in `_serve`
            future.set_exception(_as_exception(error))

    def _answers(self, requests: Iterable[RequestT]) -> Sequence[AnswerT]:
        asked = list(requests)
        answers = self._answer(asked)
        if len(answers) != len(asked):
            raise RuntimeError(f"answers: expected {len(asked)}, got {len(answers)}.")
        return answers


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(str(error))
