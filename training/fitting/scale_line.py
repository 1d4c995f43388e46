"""The scale of raw scores: a line from the scores of each module of a chain to those of the first.

The match module learns to order a query's candidates, which says nothing about a constant that all of them share, and
little about a factor. So both drift as a module goes on to learn. They are read off pairs that both modules score as of
the cut between them, whose labels are not used: the mean and the deviation of their scores are taken to be the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_store.arrays import Float32Array, IntArray
from feature_store.ragged import Ragged
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.calibration import Calibration
from recmem.matching.matcher import Matcher


@dataclass(frozen=True)
class ScaleLine:
    """From a module's raw scores to the scale of the chain."""

    factor: float = 1.0
    shift: float = 0.0

    def of(self, raw: Float32Array) -> Float32Array:
        """The scores on the scale of the chain: float32."""
        scores: Float32Array = (self.factor * raw + self.shift).astype(raw.dtype)
        return scores

    def after(self, before: Float32Array, after: Float32Array) -> ScaleLine:
        """The line of a module that scores `after` where the module of this line scored `before`: the same pairs.

        If one of them gives all pairs the same score, the factor stays as it was.
        """
        if not len(after):
            return self
        deviation = float(before.std(dtype="float64"))
        later_deviation = float(after.std(dtype="float64"))
        is_known = deviation > 0 and later_deviation > 0
        factor = self.factor * (deviation / later_deviation if is_known else 1.0)
        mean = self.factor * float(before.mean(dtype="float64")) + self.shift
        return ScaleLine(factor, mean - factor * float(after.mean(dtype="float64")))

    def calibration(self, of_chain: Calibration) -> Calibration:
        """The calibration of the module's raw scores, given that of the scores on the scale of the chain."""
        return Calibration(of_chain.slope * self.factor, of_chain.slope * self.shift + of_chain.intercept)


def scores_as_of(time: int, matcher: Matcher, dataset: Dataset, users: IntArray, candidates: Ragged) -> Float32Array:
    """The raw scores of each user's candidates, right after a time in microseconds: float32[pair]."""
    batch = QueryBatch.of(dataset, users, np.full(len(users), time + 1))
    return matcher.pair_features(batch.histories, candidates)["match_raw"]
