"""One order of torch's sums, whatever the number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Within it, torch computes each operation on the CPU in one thread, in this and in new threads of the process.

    Otherwise torch divides its sums among the threads, and their number changes the last bits of a product or of a
    gradient: some hundred steps later the weights differ visibly.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
