"""How far rows are from those of a reference: the population stability index and the Kolmogorov-Smirnov distance.

Both come with what chance alone would reach between samples of these sizes, so that a small sample is not taken for a
change. That limit holds for each of many figures at once if it is asked at a level of significance divided by their
number (Bonferroni).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import chi2

from feature_store.arrays import Float32Array, Float64Array
from recmem.reference.distribution import Distribution


def stability_index(reference: Float64Array, current: Float64Array, *, n_reference: float, n_current: float) -> float:
    """The population stability index of two divisions of rows into the same bins: sum of (q - p) ln(q / p).

    `reference` and `current`: float64[bin], shares that sum to 1, of so many independent rows (effective numbers, as
    for the limit). Half a row is added to each bin (Jeffreys' prior), since the index of an empty bin would be
    infinite. Bins that are empty on both sides count as absent. 0 is equal; by the field's rule of thumb .1 is worth a
    look and .25 a change.
    """
    used = (reference > 0) | (current > 0)
    n_bins = int(used.sum())
    p = (reference[used] * n_reference + 0.5) / (n_reference + 0.5 * n_bins)
    q = (current[used] * n_current + 0.5) / (n_current + 0.5 * n_bins)
    return float(((q - p) * np.log(q / p)).sum())


def stability_limit(n_bins: int, *, n_reference: float, n_current: float, significance: float) -> float:
    """The index that samples of one distribution exceed with a probability of `significance`; 0 for a single bin.

    (1 / n + 1 / m) times the quantile of chi-squared with `n_bins` - 1 degrees of freedom (Yurdakul, 2018), for
    effective numbers of rows.
    """
    if n_bins < 2:
        return 0.0
    return float(chi2.isf(significance, n_bins - 1)) * (1 / n_reference + 1 / n_current)


def ks_distance(reference: Distribution, values: Float32Array) -> float:
    """The largest distance between the cumulative shares of the reference and of `values` that are not NaN: 0 to 1.

    Read at the reference's points, from both sides of each: less than .005 below the true distance. NaN if one of the
    two has no values.
    """
    present = np.sort(values[np.isfinite(values)].astype(np.float32))
    if not len(present) or not reference.values:
        return math.nan
    points = np.array(reference.values, np.float32)
    at = np.searchsorted(present, points, side="right") / len(present)
    below = np.searchsorted(present, points, side="left") / len(present)
    at_distance = np.abs(at - reference.at_shares).max()
    below_distance = np.abs(below - reference.below_shares).max()
    return float(max(at_distance, below_distance))


def ks_limit(*, n_reference: float, n_current: float, significance: float) -> float:
    """The distance that samples of one distribution exceed with a probability of at most `significance`.

    Smirnov's asymptotic bound, sqrt(-ln(significance / 2) / 2) * sqrt(1 / n + 1 / m), for effective numbers of rows.
    """
    return math.sqrt(-math.log(significance / 2) / 2) * math.sqrt(1 / n_reference + 1 / n_current)


def share_limit(share: float, *, n_reference: float, n_current: float, significance: float) -> float:
    """The difference between two samples' shares that chance exceeds with a probability of `significance`, one-sided.

    `share` is the one of both samples together. Half a row is added to each side, so that no share is 0 or 1.
    """
    n_both = n_reference + n_current
    smoothed = (share * n_both + 0.5) / (n_both + 1)
    # The squared normal deviate has chi-squared's distribution with one degree of freedom: twice the tail of one side.
    deviate = math.sqrt(float(chi2.isf(2 * significance, 1)))
    return deviate * math.sqrt(smoothed * (1 - smoothed) * (1 / n_reference + 1 / n_current))
