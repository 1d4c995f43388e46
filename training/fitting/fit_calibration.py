"""Fits the calibration of the raw match score on pairs that the match module has not learned from."""

from __future__ import annotations

import numpy as np

from feature_store.arrays import Float32Array, Float64Array, Int8Array
from recmem.matching.calibration import Calibration

MAX_STEPS = 100
MAX_HALVINGS = 40
SMALLEST_GAIN = 1e-12
RIDGE = 1e-9
"""Added to the curvature: keeps a step finite where all scores are alike."""


def fit_calibration(raw: Float32Array, labels: Int8Array) -> Calibration:
    """The sigmoid of the raw scores under which the labels (0 or 1) are most likely, with slope >= 0.

    Platt's targets stand in for the labels, (n+ + 1) / (n+ + 2) and 1 / (n- + 2), so that perfectly separated or
    one-sided data give finite numbers too (Platt, 1999; Newton with backtracking as in Lin, Lin and Weng, 2007). Where
    high raw scores go with fewer positives, the slope is 0 and every score gives the share of positives.
    """
    positive = labels > 0
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    targets = np.where(positive, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    scores = raw.astype(np.float64)
    centre, scale = (scores.mean(), scores.std()) if len(scores) else (0.0, 0.0)
    flat = Calibration(0.0, _log_odds((n_positive + 1) / (n_positive + n_negative + 2)))
    if scale <= RIDGE:
        return flat
    slope, intercept = _newton((scores - centre) / scale, targets, start=flat.intercept)
    if slope <= 0:
        return flat
    return Calibration(float(slope / scale), float(intercept - slope * centre / scale))


def _newton(scores: Float64Array, targets: Float64Array, *, start: float) -> Float64Array:
    """Slope and intercept that minimise the cross-entropy, which is convex in them."""
    design = np.stack([scores, np.ones_like(scores)], axis=1)
    weights = np.array([0.0, start])
    loss = _cross_entropy(design @ weights, targets)
    for _ in range(MAX_STEPS):
        chance = 1 / (1 + np.exp(-design @ weights))
        gradient = design.T @ (chance - targets)
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        for halving in range(MAX_HALVINGS):
            tried = weights - step / 2**halving
            tried_loss = _cross_entropy(design @ tried, targets)
            if tried_loss < loss:
                break
        if loss - tried_loss < SMALLEST_GAIN * max(loss, 1.0):
            break
        weights, loss = tried, tried_loss
    return weights


def _cross_entropy(log_odds: Float64Array, targets: Float64Array) -> float:
    return float((np.logaddexp(0, log_odds) - targets * log_odds).sum())


def _log_odds(share: float) -> float:
    return float(np.log(share / (1 - share)))
