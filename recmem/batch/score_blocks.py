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
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import ipc

ROW_NUMBER = "recmem row number"
"""Column with a row's place in the whole file."""
MAX_BLOCKS = 256
"""All blocks are open while scores are written, and each is read back as a whole."""


class ScoreBlocks:
    """The scores of a file's rows in a folder: one file of records for every `rows_per_block` consecutive rows."""

    def __init__(self, folder: Path, added: pl.DataFrame, *, n_rows: int, chunk_rows: int) -> None:
        """`added`: a frame without rows that has the scores' columns. A block holds `chunk_rows` or more."""
        numbers = [(column.name, column.to_numpy().dtype) for column in added if column.dtype != pl.String]
        self.record_type = np.dtype([(ROW_NUMBER, np.int64), *numbers])
        """What is written of a row, text aside."""
        self._texts = [column.name for column in added if column.dtype == pl.String]
        self.row_type = np.dtype([*self.record_type.descr, *((name, np.object_) for name in self._texts)])
        """What is read of a row."""
        self._folder = folder
        self._n_rows = n_rows
        self._rows_per_block = max(chunk_rows, -(-n_rows // MAX_BLOCKS))

    @contextmanager
    def writer(self) -> Iterator[Callable[[pl.DataFrame], None]]:
        """A function that appends scores, with their `ROW_NUMBER`, to the blocks that they belong to."""
        with ExitStack() as stack:
            files: dict[int, BinaryIO] = {}
            texts: dict[int, ipc.RecordBatchStreamWriter] = {}

            def write(scored: pl.DataFrame) -> None:
                records = self._records(scored)
                table = scored.select(self._texts).to_arrow().cast(self._text_schema)
                # Row numbers ascend within a chunk, so each block's rows are one slice.
                numbers, begins = np.unique(records[ROW_NUMBER] // self._rows_per_block, return_index=True)
                ends = begins + np.diff(begins, append=len(records))
                for number, begin, end in zip(numbers.tolist(), begins.tolist(), ends.tolist(), strict=True):
                    if number not in files:
                        files[number] = stack.enter_context(self._path(number).open("wb"))
                    files[number].write(records[begin:end].view(np.uint8).data)
                    if self._texts and number not in texts:
                        sink = stack.enter_context(pa.OSFile(str(self._text_path(number)), "wb"))
                        texts[number] = stack.enter_context(ipc.new_stream(sink, self._text_schema))
                    if self._texts:
                        texts[number].write_table(table.slice(begin, end - begin))

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
            block = np.empty(n_rows, self.row_type)
            places = found[ROW_NUMBER] - first
            for name in self.record_type.names or ():
                block[name][places] = found[name]
            if self._texts:
                with pa.OSFile(str(self._text_path(number))) as source, ipc.open_stream(source) as stream:
                    texts = stream.read_all()
                for name in self._texts:
                    block[name][places] = texts[name].to_numpy()
            yield block

    def _records(self, scored: pl.DataFrame) -> NDArray[Any]:
        records = np.empty(len(scored), self.record_type)
        for name in self.record_type.names or ():
            records[name] = scored[name].to_numpy()
        return records

    @property
    def _text_schema(self) -> pa.Schema:
        return pa.schema([pa.field(name, pa.string()) for name in self._texts])

    def _path(self, number: int) -> Path:
        return self._folder / f"block-{number}"

    def _text_path(self, number: int) -> Path:
        return self._folder / f"texts-{number}"
