"""Pieces made ahead and written behind: the same ones in the same order, and no error is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import closing
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recmem.pipelining import MAX_WAITING, ahead, behind, beside, side_by_side

PIECES = st.lists(st.none() | st.integers(), max_size=12)


@given(PIECES, st.integers(1, 4))
def test_results_of_pieces_worked_on_side_by_side_are_in_their_order(pieces: list[int | None], n_threads: int) -> None:
    assert list(side_by_side(lambda piece: (piece,), pieces, n_threads)) == [(piece,) for piece in pieces]


def test_pieces_are_worked_on_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)
    assert sorted(side_by_side(lambda _: both.wait(), "ab", 2)) == [0, 1]


def test_an_error_of_one_piece_is_raised_in_its_place() -> None:
    results = side_by_side(lambda piece: 1 / piece, [1, 0, 1], 2)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


@given(PIECES)
def test_pieces_made_ahead_are_all_of_them_in_order(pieces: list[int | None]) -> None:
    assert list(ahead(piece for piece in pieces)) == pieces


@given(PIECES)
def test_pieces_written_behind_are_all_of_them_in_order(pieces: list[int | None]) -> None:
    written: list[int | None] = []
    with behind(written.append) as put:
        for piece in pieces:
            put(piece)
    assert written == pieces


def test_no_more_pieces_are_made_than_may_wait() -> None:
    made: list[int] = []

    def make() -> Generator[int, None, None]:
        for number in range(20):
            made.append(number)
            yield number

    with closing(ahead(make())) as pieces:
        for number in pieces:
            time.sleep(0.005)
            assert len(made) <= number + 1 + MAX_WAITING


def test_what_the_maker_raises_is_raised_where_its_piece_would_have_come() -> None:
    def make() -> Generator[int, None, None]:
        yield 1
        raise OSError("no more room")

    pieces = ahead(make())
    assert next(pieces) == 1
    with pytest.raises(OSError, match="no more room"):
        next(pieces)


def test_closing_early_stops_the_maker() -> None:
    closed = threading.Event()

    def make() -> Generator[int, None, None]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    n_threads = threading.active_count()
    with closing(ahead(make())) as pieces:
        assert next(pieces) == 1
    assert closed.is_set()
    assert threading.active_count() == n_threads


def test_what_the_writer_raises_is_raised_and_nothing_is_written_after_it() -> None:
    written: list[int] = []

    def write(piece: int) -> None:
        if piece == 2:
            raise OSError("no more room")
        written.append(piece)

    def work() -> None:
        with behind(write) as put:
            for piece in range(20):
                put(piece)

    with pytest.raises(OSError, match="no more room"):
        work()
    assert written == [0, 1]


def test_an_error_in_the_block_is_raised_unchanged() -> None:
    def work() -> None:
        with behind(time.sleep) as put:
            put(0.01)
            raise KeyError

    with pytest.raises(KeyError):
        work()


def test_pieces_put_before_the_caller_fails_are_written() -> None:
    written: list[int] = []

    def put_and_fail() -> None:
        with behind(written.append) as put:
            put(1)
            put(2)
            raise KeyError

    with pytest.raises(KeyError):
        put_and_fail()
    assert written == [1, 2]


def test_works_beside_are_done_when_the_block_ends() -> None:
    done: list[int] = []
    with beside([partial(done.append, number) for number in range(3)]):
        pass
    assert done == [0, 1, 2]


def test_work_beside_runs_while_the_block_does() -> None:
    both = threading.Barrier(2, timeout=10)
    with beside([both.wait]):
        both.wait()


def test_an_error_of_work_beside_is_raised_at_the_end_of_the_block() -> None:
    done: list[str] = []
    with pytest.raises(ZeroDivisionError), beside([lambda: 1 / 0, lambda: done.append("after the error")]):
        done.append("block")
    assert done == ["block"]


def test_no_work_beside_is_begun_once_the_block_has_failed() -> None:
    has_begun, goes_on = threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        has_begun.set()
        goes_on.wait(10)

    def fail() -> None:
        has_begun.wait(10)
        # The thread goes on only after the error has been seen.
        threading.Timer(0.2, goes_on.set).start()
        raise ValueError("the block's")

    with pytest.raises(ValueError, match="the block's"), beside([first, lambda: done.append("second")]):
        fail()
    assert done == []
