"""Sums in one order, whatever the number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """torch computes each operation in one thread.

    Otherwise its sums are divided among the threads, and their number changes the last bits of a product or a gradient.
    Some hundred steps later the weights differ visibly. Operations of other threads of the process are slower meanwhile.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
