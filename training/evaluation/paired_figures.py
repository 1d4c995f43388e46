"""Figures of the same queries under two rankings, and their means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feature_store.arrays import BoolArray, IntArray
from training.evaluation.intervals import CONFIDENCE_PERCENTILES, Difference, paired_bootstraps
from training.evaluation.ledger import Interval, Lift, rounded
from training.evaluation.metrics import PerQuery


@dataclass(frozen=True, eq=False)
class PairedFigures:
    """One metric of the same queries without and with something: NaN where a query has no figure."""

    without: PerQuery
    with_: PerQuery
    weights: IntArray | None = None
    """What each query weighs; None for 1."""

    @property
    def defined(self) -> BoolArray:
        """Mask of the queries that have both figures."""
        return ~np.isnan(self.without) & ~np.isnan(self.with_)

    @property
    def n_queries(self) -> int:
        """How many queries have both figures."""
        return int(self.defined.sum())

    def lift(self, ci95: Interval) -> Lift:
        """Both means and their difference, rounded, with an interval of the difference."""
        without = rounded(self._mean(self.without))
        with_ = rounded(self._mean(self.with_))
        return Lift(without, with_, rounded(with_ - without), ci95)

    def _mean(self, figures: PerQuery) -> float:
        if not self.n_queries:
            return math.nan
        weights = None if self.weights is None else self.weights[self.defined]
        return float(np.average(figures[self.defined], weights=weights))


def paired_differences(
    paired: Sequence[PairedFigures],
    users: NDArray[Any],
    *,
    generator: np.random.Generator,
    n_resamples: int = 2000,
    percentiles: tuple[float, float] = CONFIDENCE_PERCENTILES,
) -> list[Difference]:
    """The difference of each pair of means, and its interval: one bootstrap over users, `paired_bootstraps`, for all.

    All are of the same queries, `users` names the user of each. There is at least one pair.
    """
    ones = np.ones(len(users))
    gains = np.stack([figures.with_ - figures.without for figures in paired], axis=1)
    weights = np.stack([ones if figures.weights is None else figures.weights for figures in paired], axis=1)
    return paired_bootstraps(
        gains,
        groups=users,
        weights=weights,
        n_resamples=n_resamples,
        percentiles=percentiles,
        generator=generator,
    )
