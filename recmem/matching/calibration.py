"""Calibrates the raw match score to a probability, so that callers see the same scale after every training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_store.arrays import Float32Array


@dataclass(frozen=True)
class Calibration:
    """A sigmoid of a line (Platt, 1999) that never falls, so it keeps the order of the raw scores."""

    slope: float
    """Log-odds per unit of the raw score; 0 if the raw score carries no information."""
    intercept: float
    """Log-odds at a raw score of 0."""

    def __post_init__(self) -> None:
        if not (np.isfinite([self.slope, self.intercept]).all() and self.slope >= 0):
            raise ValueError(
                f"slope, intercept: expected finite numbers and slope >= 0, got {self.slope}, {self.intercept}. "
                "Fit them with training.fitting.fit_calibration.fit_calibration."
            )

    def probability(self, raw: Float32Array) -> Float32Array:
        """The probability that a retrieved candidate is a positive, given only its raw match score: float32, 0 to 1."""
        log_odds = self.slope * raw.astype(np.float64) + self.intercept
        # Two forms of the sigmoid: -|x| keeps the exponential from overflowing.
        exponential = np.exp(-np.abs(log_odds))
        sigmoid = np.where(log_odds >= 0, 1 / (1 + exponential), exponential / (1 + exponential))
        return sigmoid.astype(np.float32)
