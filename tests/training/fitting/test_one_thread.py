from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
import torch

from torch_threads import torch_threads
from training.fitting.one_thread import one_torch_thread


def n_threads_of_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


def test_new_threads_have_one_too_and_the_number_of_before_comes_back() -> None:
    with torch_threads(3):
        with one_torch_thread():
            assert torch.get_num_threads() == n_threads_of_a_new_thread() == 1
        assert torch.get_num_threads() == n_threads_of_a_new_thread() == 3


def test_the_number_comes_back_after_an_error() -> None:
    with torch_threads(2):
        with pytest.raises(ValueError, match="wrong"), one_torch_thread():
            raise ValueError("wrong")
        assert torch.get_num_threads() == 2


@pytest.mark.parametrize("ends_first", [0, 1])
def test_blocks_of_several_threads_may_overlap(ends_first: int) -> None:
    has_begun = (Event(), Event())
    may_end = (Event(), Event())

    def block(number: int) -> tuple[int, int]:
        with one_torch_thread():
            has_begun[number].set()
            assert may_end[number].wait(10)
            within = torch.get_num_threads()
        return within, torch.get_num_threads()

    with torch_threads(3), ThreadPoolExecutor(2) as pool:
        blocks = []
        for number in range(2):
            blocks.append(pool.submit(block, number))
            assert has_begun[number].wait(10)
        for number in (ends_first, 1 - ends_first):
            may_end[number].set()
            assert blocks[number].result() == (1, 3)
        assert torch.get_num_threads() == n_threads_of_a_new_thread() == 3
