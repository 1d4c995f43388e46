"""One order of torch's sums, whatever the number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch


class _Blocks:
    """The blocks of `one_torch_thread` that have begun and not ended, in all threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._n_open = 0
        self._n_threads = 1

    def begin(self) -> int:
        """torch's number of threads outside of any block."""
        # Called in every thread: the first call in a thread sets that thread's number, and would do so later.
        n_threads = torch.get_num_threads()
        with self._lock:
            if not self._n_open:
                self._n_threads = n_threads
            self._n_open += 1
            return self._n_threads

    def end(self) -> None:
        with self._lock:
            self._n_open -= 1


_BLOCKS = _Blocks()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Within it, torch computes each operation on the CPU in one thread, in this thread and in those that it starts.

    Otherwise torch divides its sums among the threads, and their number changes the last bits of a product or of a
    gradient: some hundred steps later the weights differ visibly. Several threads may be within it at once.
    """
    # torch's number is each thread's own, but a new thread begins with the one that was set last, in any thread. That
    # may be the 1 of a block that is open elsewhere, which is not what to go back to.
    n_threads = _BLOCKS.begin()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
        _BLOCKS.end()
