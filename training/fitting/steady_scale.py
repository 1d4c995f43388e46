"""Keeps the scale of `match_score` from one champion to the next.

A retrained module orders candidates much as the one before, but its raw scores have another mean and another spread,
and a calibration fitted anew follows every chance of the newest weeks. A caller who reads `match_score` as a feature,
or compares it with a threshold, would meet another number after every training. So the new module's scores are brought
to the champion's scale: a line gives the log-odds of the same pairs the same quantiles. That keeps the scores' order.

The champion's scale is kept only while it is true. If the newest calibration says that `match_score` is too high or too
low by more than `TOLERANCE` and by more than chance explains, on average or for scores a deviation from the mean, the
scale is renewed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from feature_store.arrays import Float32Array, Float64Array
from recmem.matching.calibration import Calibration

TOLERANCE = 1.25
"""The mean `match_score` on the kept scale may be so many times that of the newest calibration, or this part of it."""
CHANCE = 3.0
"""Standard errors that the newest calibration is allowed besides: with n positives the error is about 1 / sqrt(n)."""
_QUANTILES = 199
_FINEST = 1e-9


@dataclass(frozen=True)
class Scale:
    """The calibration that ships, and where it comes from."""

    calibration: Calibration
    kind: Literal["fitted", "kept", "renewed"]
    """Fitted to the newest labels because there is no champion's to keep; the champion's; or fitted because the
    champion's was no longer true."""
    reason: str
    """A sentence."""
    ratio: float | None = None
    """Mean `match_score` on the champion's scale / on the newest calibration's; None without a champion's."""
    steepness: float | None = None
    """How many times more the odds rise on the champion's scale over one standard deviation of the raw scores."""


def steady_scale(
    raw: Float32Array, fitted: Calibration, champion: Float64Array, *, version: str, n_positives: int
) -> Scale:
    """The champion's scale for a module that gives the pairs the scores `raw`, or `fitted` if it is no longer true.

    `champion`: log-odds of the same pairs by the champion, float64[pair]. `n_positives`: how many `fitted` rests on.
    """
    if fitted.slope <= 0:
        return Scale(fitted, "fitted", "Items with a higher raw score were not chosen more often: no scale is true.")
    line = aligned(raw, champion)
    if line is None:
        return Scale(fitted, "fitted", f"The scores of version {version} or of this one do not vary.")
    kept = float(line.probability(raw).mean())
    newest = float(fitted.probability(raw).mean())
    ratio = kept / max(newest, _FINEST)
    steepness = float(np.exp((line.slope - fitted.slope) * float(raw.std(dtype="float64"))))
    allowed = np.log(TOLERANCE) + CHANCE / np.sqrt(max(n_positives, 1))
    words = f"on the scale of version {version}, the mean match_score is {ratio:.2f} times that of the newest labels"
    words += f" and its odds are {steepness:.2f} times as steep"
    if max(abs(np.log(max(ratio, _FINEST))), abs(np.log(max(steepness, _FINEST)))) > allowed:
        reason = f"Renewed: {words}. match_score of this version and of earlier ones cannot be compared."
        return Scale(fitted, "renewed", reason, ratio, steepness)
    return Scale(line, "kept", f"Kept: {words}.", ratio, steepness)


def aligned(raw: Float32Array, log_odds: Float64Array) -> Calibration | None:
    """The rising line that brings the quantiles of `raw` to those of `log_odds`; None if one of them does not vary.

    Least squares between the quantiles, of which there are most where the pairs are: a distance there shows most in the
    distribution of `match_score`.
    """
    shares = np.linspace(0, 1, _QUANTILES + 2)[1:-1]
    from_ = np.quantile(raw.astype(np.float64), shares)
    to = np.quantile(log_odds, shares)
    spread = from_ - from_.mean()
    if (spread**2).mean() < _FINEST or to.std() < _FINEST:
        return None
    slope = float((spread * to).sum() / (spread**2).sum())
    return Calibration(slope, float(to.mean() - slope * from_.mean()))
