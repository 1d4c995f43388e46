"""Scores on disk while a file is scored out of order: written in blocks of consecutive rows, read back in order."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray

ROW_NUMBER = "recmem row number"
"""Column with a row's place in the whole file."""
MAX_BLOCKS = 256
"""All blocks are open while scores are written, and each is read back as a whole."""


class ScoreBlocks:
    """The scores of a file's rows in a folder: one file of records for every `rows_per_block` consecutive rows."""

    def __init__(self, folder: Path, added: pl.DataFrame, *, n_rows: int, chunk_rows: int) -> None:
        """`added`: a frame without rows that has the scores' columns. A block holds `chunk_rows` or more."""
        self.record_type = np.dtype(
            [(ROW_NUMBER, np.int64), *((column.name, column.to_numpy().dtype) for column in added)]
        )
        self._folder = folder
        self._n_rows = n_rows
        self._rows_per_block = max(chunk_rows, -(-n_rows // MAX_BLOCKS))

    @contextmanager
    def writer(self) -> Iterator[Callable[[pl.DataFrame], None]]:
        """A function that appends scores, with their `ROW_NUMBER`, to the blocks that they belong to."""
        with ExitStack() as stack:
            files: dict[int, BinaryIO] = {}

            def write(scored: pl.DataFrame) -> None:
                records = self._records(scored)
                # Row numbers ascend within a chunk, so each block's records are one slice.
                numbers, begins = np.unique(records[ROW_NUMBER] // self._rows_per_block, return_index=True)
                for number, part in zip(numbers.tolist(), np.split(records, begins[1:]), strict=False):
                    if number not in files:
                        files[number] = stack.enter_context(self._path(number).open("wb"))
                    files[number].write(part.view(np.uint8).data)

            yield write

    def in_order(self) -> Iterator[NDArray[Any]]:
        """The records of all rows in the order of the file, one block at a time.

        Raises OSError if a block is shorter than what was written, as on a drive that was lost.
        """
        for number, first in enumerate(range(0, self._n_rows, self._rows_per_block)):
            path = self._path(number)
            n_rows = min(self._rows_per_block, self._n_rows - first)
            # Read, not mapped: if a drive is lost, a read raises an error, where a mapped file ends the process.
            content = path.read_bytes()
            if len(content) != n_rows * self.record_type.itemsize:
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
            found = np.frombuffer(content, self.record_type)
            block = np.empty(n_rows, self.record_type)
            block[found[ROW_NUMBER] - first] = found
            yield block

    def _records(self, scored: pl.DataFrame) -> NDArray[Any]:
        records = np.empty(len(scored), self.record_type)
        for name in self.record_type.names or ():
            records[name] = scored[name].to_numpy()
        return records

    def _path(self, number: int) -> Path:
        return self._folder / f"block-{number}"
