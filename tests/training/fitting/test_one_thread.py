from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from torch_threads import torch_threads
from training.fitting.one_thread import one_torch_thread


def test_new_threads_have_one_too_and_the_number_of_before_comes_back() -> None:
    with torch_threads(3):
        with one_torch_thread(), ThreadPoolExecutor(1) as pool:
            assert torch.get_num_threads() == 1
            assert pool.submit(torch.get_num_threads).result() == 1
        assert torch.get_num_threads() == 3


def test_the_number_comes_back_after_an_error() -> None:
    with torch_threads(2):
        with pytest.raises(ValueError, match="wrong"), one_torch_thread():
            raise ValueError("wrong")
        assert torch.get_num_threads() == 2
