from __future__ import annotations

import threading

import numpy as np
import pytest

from feature_store.row_blocks import in_blocks


@pytest.mark.parametrize("n_rows", [0, 1, 4, 5, 8, 11])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_every_row_is_worked_on_once(n_rows: int, n_threads: int) -> None:
    times = np.zeros(n_rows, np.int64)

    def work(begin: int, end: int) -> None:
        assert 0 < end - begin <= 4
        times[begin:end] += 1

    in_blocks(work, n_rows, rows_per_block=4, n_threads=n_threads)
    assert times.tolist() == [1] * n_rows


def test_blocks_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)
    in_blocks(lambda _begin, _end: both.wait() and None, 2, rows_per_block=1, n_threads=2)


def test_a_single_block_or_thread_runs_in_the_callers_own() -> None:
    threads: set[int] = set()
    in_blocks(lambda _begin, _end: threads.add(threading.get_ident()), 4, rows_per_block=4, n_threads=2)
    in_blocks(lambda _begin, _end: threads.add(threading.get_ident()), 4, rows_per_block=1, n_threads=1)
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_error_in_a_block_is_raised(n_threads: int) -> None:
    def work(begin: int, end: int) -> None:
        if begin <= 7 < end:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_blocks(work, 12, rows_per_block=2, n_threads=n_threads)
