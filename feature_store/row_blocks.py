"""Work on rows that needs no other rows, done block by block, side by side on threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def in_blocks(work: Callable[[int, int], None], n_rows: int, *, rows_per_block: int, n_threads: int) -> None:
    """Calls `work(begin, end)` for every block of the rows; what it raises is raised here.

    Blocks run at the same time, so `work` must release the interpreter's lock to gain from threads, and must write to
    its own rows only. A single block needs no threads.
    """
    blocks = [(begin, min(begin + rows_per_block, n_rows)) for begin in range(0, n_rows, rows_per_block)]
    if len(blocks) > 1 and n_threads > 1:
        with ThreadPoolExecutor(n_threads) as pool:
            # As a list: an error in a thread is raised when its result is read.
            list(pool.map(lambda block: work(*block), blocks))
    else:
        for block in blocks:
            work(*block)
