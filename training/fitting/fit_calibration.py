"""Fits the calibration from raw match scores to probabilities, on pairs that the match module has not learned from."""

from __future__ import annotations

import numpy as np

from feature_store.arrays import Float32Array, Float64Array, Int8Array
from recmem.matching.calibration import Calibration

MAX_STEPS = 100
"""Newton steps; fewer are enough in practice."""
MAX_HALVINGS = 40
"""Times that a step is halved until the loss falls."""
SMALLEST_GAIN = 1e-12
"""The fit ends when the loss, or 1 if that is more, falls by less than this share."""
RIDGE = 1e-9
"""Added to the curvature, so that a step is finite even if all scores are alike."""


def fit_calibration(raw: Float32Array, labels: Int8Array) -> Calibration:
    """The sigmoid of the raw scores that makes the labels (0 or 1) most likely, with slope >= 0.

    Platt's targets replace the labels, (n+ + 1) / (n+ + 2) and 1 / (n- + 2), so that perfectly separated or one-sided
    data give finite numbers too (Platt, 1999; Newton with backtracking as in Lin, Lin and Weng, 2007). If positives get
    rarer as the score rises, the slope is 0 and every score gives the share of positives.
    """
    positive = labels > 0
    n_positive = int(positive.sum())
    n_negative = int((~positive).sum())
    targets = np.where(positive, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    flat = Calibration(0.0, _log_odds((n_positive + 1) / (n_positive + n_negative + 2)))
    scores = raw.astype(np.float64)
    # Standardised, which keeps Newton's steps well conditioned on any scale of scores.
    centre = scores.mean() if len(scores) else 0.0
    scale = scores.std() if len(scores) else 0.0
    if scale <= RIDGE:
        return flat
    slope, intercept = _newton((scores - centre) / scale, targets, start=flat.intercept)
    if slope <= 0:
        return flat
    # Back to the raw scale: slope (raw - centre) / scale + intercept.
    return Calibration(float(slope / scale), float(intercept - slope * centre / scale))


def _newton(scores: Float64Array, targets: Float64Array, *, start: float) -> Float64Array:
    """Slope and intercept that minimise the cross-entropy, which is convex in them: float64[2]."""
    weights = np.array([0.0, start])
    loss = _cross_entropy(_line(weights, scores), targets)
    for _ in range(MAX_STEPS):
        probability = 1 / (1 + np.exp(-_line(weights, scores)))
        error = probability - targets
        gradient = np.array([(error * scores).sum(), error.sum()])
        # The Hessian, [2, 2]. numpy's sums have one order; those of a product would depend on BLAS's threads.
        variance = probability * (1 - probability)
        of_both = (variance * scores).sum()
        curvature = np.array([[(variance * scores**2).sum(), of_both], [of_both, variance.sum()]]) + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        for halving in range(MAX_HALVINGS):
            candidate = weights - step / 2**halving
            candidate_loss = _cross_entropy(_line(candidate, scores), targets)
            if candidate_loss < loss:
                break
        if loss - candidate_loss < SMALLEST_GAIN * max(loss, 1.0):
            break
        weights = candidate
        loss = candidate_loss
    return weights


def _line(weights: Float64Array, scores: Float64Array) -> Float64Array:
    """Log-odds of the scores under weights of slope and intercept."""
    log_odds: Float64Array = weights[0] * scores + weights[1]
    return log_odds


def _cross_entropy(log_odds: Float64Array, targets: Float64Array) -> float:
    # log(1 + e^z) - t z, summed; logaddexp does not overflow.
    return float((np.logaddexp(0, log_odds) - targets * log_odds).sum())


def _log_odds(share: float) -> float:
    return float(np.log(share / (1 - share)))
