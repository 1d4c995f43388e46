"""Scorers for tests of worker processes, which import them by this module's name."""

from __future__ import annotations

import logging
import os
import signal
import time
from dataclasses import dataclass

import polars as pl

from feature_store import DataError
from recmem.batch.worker_process import ask_parent


@dataclass(frozen=True)
class Doubled:
    """Adds `score`, twice the `number`; does what the column `what` says first."""

    table: pl.DataFrame

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Only the column that is added."""
        what = frame["what"][0] if "what" in frame.columns and len(frame) else ""
        if what == "refuse":
            raise DataError(f"candidates.number: expected an even one, got {frame['number'][0]}. Add one.")
        if what == "stop":
            raise UnpicklableError("a", "b")
        if what == "disconnect":
            raise ConnectionResetError("the store's server has closed the connection")
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "wait":
            time.sleep(0.3)
        if what == "log":
            logging.getLogger("recmem").warning("number %d", frame["number"][0])
        if what == "ask":
            return frame.select(score=pl.lit(ask_parent(frame["number"][0]), pl.Int64))
        return frame.select(score=pl.col("number") * self.table["factor"][0])


class UnpicklableError(Exception):
    """Cannot be made of its text alone."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one + other)


@dataclass(frozen=True)
class Process:
    """Adds the number of the process, of its threads and of its parent."""

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        """A row."""
        del frame
        return pl.DataFrame({"pid": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"], "parent": os.getppid()})
