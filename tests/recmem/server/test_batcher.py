"""Requests in batches: every one is answered, with its own answer or its own error, in the order of their coming."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from recmem.server.batcher import Batcher, OverloadError

SECONDS = 10


class Held:
    """Answers with the double, once it is let go; notes the batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.began = threading.Event()
        self.go = threading.Event()

    def __call__(self, requests: Sequence[int]) -> list[int]:
        self.batches.append(list(requests))
        self.began.set()
        assert self.go.wait(SECONDS)
        if 13 in requests:
            raise ValueError("thirteen")
        return [2 * request for request in requests]


def batcher(held: Held, *, max_size: int = 100, max_waiting: int = 100) -> Batcher[int, int]:
    return Batcher(held, size=lambda request: request, max_size=max_size, max_waiting=max_waiting)


def test_requests_that_arrive_meanwhile_are_the_next_batch() -> None:
    held = Held()
    batches = batcher(held)
    first = batches.submit(1)
    assert held.began.wait(SECONDS)
    later = [batches.submit(request) for request in (2, 3, 4)]
    held.go.set()
    assert [future.result(SECONDS) for future in (first, *later)] == [2, 4, 6, 8]
    assert held.batches == [[1], [2, 3, 4]]


def test_a_batch_is_no_larger_than_allowed_and_a_larger_request_is_one_of_its_own() -> None:
    held = Held()
    batches = batcher(held, max_size=5)
    batches.submit(1)
    assert held.began.wait(SECONDS)
    later = [batches.submit(request) for request in (2, 3, 4, 9, 1)]
    held.go.set()
    assert [future.result(SECONDS) for future in later] == [4, 6, 8, 18, 2]
    assert held.batches == [[1], [2, 3], [4], [9], [1]]


def test_a_request_that_cannot_be_answered_fails_alone() -> None:
    held = Held()
    batches = batcher(held)
    batches.submit(1)
    assert held.began.wait(SECONDS)
    futures = [batches.submit(request) for request in (2, 13, 3)]
    held.go.set()
    assert futures[0].result(SECONDS) == 4
    assert futures[2].result(SECONDS) == 6
    with pytest.raises(ValueError, match="thirteen"):
        futures[1].result(SECONDS)


def test_too_many_waiting_requests_are_refused_and_the_others_answered() -> None:
    held = Held()
    batches = batcher(held, max_waiting=2)
    first = batches.submit(1)
    assert held.began.wait(SECONDS)
    waiting = [batches.submit(2), batches.submit(3)]
    with pytest.raises(OverloadError):
        batches.submit(4)
    held.go.set()
    assert [future.result(SECONDS) for future in (first, *waiting)] == [2, 4, 6]


def test_a_cancelled_request_is_left_out() -> None:
    held = Held()
    batches = batcher(held)
    batches.submit(1)
    assert held.began.wait(SECONDS)
    gone = batches.submit(2)
    stays = batches.submit(3)
    assert gone.cancel()
    held.go.set()
    assert stays.result(SECONDS) == 6
    assert held.batches == [[1], [3]]


def test_what_waits_at_the_end_is_answered() -> None:
    held = Held()
    batches = batcher(held, max_size=5)
    futures = [batches.submit(request) for request in (1, 2, 3, 4)]
    assert held.began.wait(SECONDS)
    held.go.set()
    batches.close()
    assert [future.result(0) for future in futures] == [2, 4, 6, 8]


class Panic(BaseException):
    """As compiled code raises it, polars for one: no Exception."""


def test_thread_outlives_a_panic_and_answers_the_next_request() -> None:
    def answer(numbers: Sequence[int]) -> list[int]:
        if 0 in numbers:
            raise Panic("index out of bounds")
        return [2 * number for number in numbers]

    batcher = Batcher(answer, size=lambda _: 1, max_size=1, max_waiting=5)
    failed = batcher.submit(0)
    with pytest.raises(RuntimeError, match="index out of bounds"):
        failed.result(timeout=2)
    assert batcher.submit(3).result(timeout=2) == 6
    batcher.close()


def test_a_closed_batcher_refuses_requests() -> None:
    held = Held()
    held.go.set()
    batches = batcher(held)
    batches.close()
    with pytest.raises(OverloadError):
        batches.submit(1)


def test_a_wrong_number_of_answers_fails_the_requests_and_not_the_batcher() -> None:
    numbers = iter([[1, 2], [3]])
    batches: Batcher[int, int] = Batcher(lambda _: next(numbers), size=lambda _: 1, max_size=1, max_waiting=9)
    with pytest.raises(RuntimeError, match="expected 1, got 2"):
        batches.submit(0).result(SECONDS)
    assert batches.submit(0).result(SECONDS) == 3
