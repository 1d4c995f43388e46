"""Whether two ways of scoring the same rows agree, so that they may be timed beside each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from feature_store.arrays import Float64Array

MOST_APART = 1e-5
"""Between a score of a GPU and one of the CPU. A tree's threshold may lie between two numbers that differ in their last
bits, and then a score moves by more."""
MOST_MOVED = 1e-3
"""Share of the rows that may differ by more than that, on a GPU. Of 195,832 pairs whose inputs were all off by a
millionth, 8 did (docs/design.md)."""
MOST_RANKS = 1e-2
"""Share of the ranks that may be others, on a GPU: a score that moves takes others of its query with it."""


def check_scores(what: str, found: Float64Array, expected: Float64Array) -> None:
    """Raises ArithmeticError where scores differ: on a GPU by more than rounding explains, on a CPU at all."""
    is_gpu = torch.cuda.is_available()
    # Not "further apart than": NaN is neither.
    n_apart = int((~(np.abs(found - expected) <= (MOST_APART if is_gpu else 0))).sum())
    if n_apart > (MOST_MOVED * len(expected) if is_gpu else 0):
        raise ArithmeticError(
            f"{what}: expected the ranker's on these columns, got others in {n_apart:,} of {len(expected):,} rows. "
            "Nothing is timed."
        )


@dataclass(frozen=True)
class Agreement:
    """How far two results of `Model.rank` of the same rows are from each other."""

    n_rows: int
    n_ranks: int
    """Ranks that differ."""
    n_apart: int
    """Scores that differ by more than `MOST_APART`."""
    furthest: float
    """Between two scores."""

    @classmethod
    def of(cls, first: pl.DataFrame, second: pl.DataFrame) -> Agreement:
        """Of two results."""
        apart = np.abs(first["score"].to_numpy() - second["score"].to_numpy())
        return cls(
            n_rows=len(first),
            n_ranks=int((first["rank"] != second["rank"]).sum()),
            n_apart=int((~(apart <= MOST_APART)).sum()),
            furthest=float(apart.max(initial=0)),
        )

    def check(self) -> None:
        """Raises ArithmeticError beyond what rounding explains."""
        if self.n_apart > MOST_MOVED * self.n_rows or self.n_ranks > MOST_RANKS * self.n_rows:
            raise ArithmeticError(f"rank on the device: expected the CPU's, got others: {self}. Nothing is timed.")

    def __str__(self) -> str:
        return (
            f"{self.n_ranks:,} of {self.n_rows:,} ranks differ, {self.n_apart:,} scores by more than {MOST_APART:g}, "
            f"at most by {self.furthest:.1g}"
        )
