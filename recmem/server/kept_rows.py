"""Rows that were observed and are kept for later versions of the model."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import polars as pl

_BLOCKS = 1000
"""Small frames are joined into blocks of a thousandth of all rows: each of their own would take some kilobytes."""


class KeptRows:
    """Frames in the order in which they came; at most so many rows, the oldest frames are dropped first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._frames: list[pl.DataFrame] = []
        self._n_rows = 0

    def __len__(self) -> int:
        return self._n_rows

    def add(self, rows: pl.DataFrame) -> None:
        """Keeps one more frame, always, and drops older ones if there are too many rows."""
        self._n_rows += len(rows)
        last = self._frames[-1] if self._frames else None
        if last is not None and last.schema == rows.schema and len(last) + len(rows) <= self._most // _BLOCKS:
            rows = pl.concat([self._frames.pop(), rows], rechunk=True)
        self._frames.append(rows)
        while len(self._frames) > 1 and self._n_rows > self._most:
            self._n_rows -= len(self._frames.pop(0))

    def frames(self) -> Iterator[pl.DataFrame]:
        """All rows in their order, in as few frames as can be: consecutive ones of the same columns are one."""
        for _, alike in groupby(self._frames, key=lambda frame: frame.schema):
            yield pl.concat(alike)
