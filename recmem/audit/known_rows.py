"""The rows of a table in the order in which they became known, for an audit that goes through time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store.arrays import IntArray

_KNOWN_AT = "\n"
"""A name that no column of a table has."""


@dataclass(eq=False)
class KnownRows:
    """A table's rows, and how many of them were taken."""

    rows: pl.DataFrame
    """Sorted by when they became known."""
    known: IntArray
    """When that was, microseconds."""
    n_taken: int = 0

    @classmethod
    def of(cls, table: pl.DataFrame, known: pl.Expr) -> KnownRows:
        """The rows of a table; `known` gives when each became known, microseconds."""
        rows = table.with_columns(known.alias(_KNOWN_AT)).sort(_KNOWN_AT)
        return cls(rows.drop(_KNOWN_AT), rows[_KNOWN_AT].to_numpy())

    def at(self, time: int) -> pl.DataFrame:
        """All rows that were known at the time."""
        return self.rows[: self._n_known(time)]

    def since_last(self, time: int) -> pl.DataFrame:
        """The rows that were known at the time and were not taken by an earlier call."""
        begin = self.n_taken
        self.n_taken = max(self._n_known(time), begin)
        return self.rows[begin : self.n_taken]

    def _n_known(self, time: int) -> int:
        return int(np.searchsorted(self.known, time, side="right"))
