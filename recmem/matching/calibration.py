"""From the raw match score to a probability: a new version with another scale does not shift what callers see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_store.arrays import Float32Array


@dataclass(frozen=True)
class Calibration:
    """Platt's sigmoid (Platt, 1999): never falling, so that it keeps the order of the raw scores."""

    slope: float
    """Of the log-odds in the raw score; 0 where the raw score tells nothing."""
    intercept: float
    """Log-odds at a raw score of 0."""

    def __post_init__(self) -> None:
        if not (np.isfinite([self.slope, self.intercept]).all() and self.slope >= 0):
            raise ValueError(
                f"slope, intercept: expected finite numbers and slope >= 0, got {self.slope}, {self.intercept}. "
                "Fit them with training.fitting.fit_calibration.fit_calibration."
            )

    def probability(self, raw: Float32Array) -> Float32Array:
        """The chance that a retrieved candidate is taken up, by its raw match score alone: float32, 0 to 1."""
        log_odds = self.slope * raw.astype(np.float64) + self.intercept
        # Two forms of one function, each where its exponential cannot overflow.
        small = np.exp(-np.abs(log_odds))
        return np.where(log_odds >= 0, 1 / (1 + small), small / (1 + small)).astype(np.float32)
