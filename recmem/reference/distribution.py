"""The distribution of a figure over rows, as a few hundred points of its cumulative distribution function.

Between two points lies less than 1 / `POINTS` of the rows, so that a Kolmogorov-Smirnov distance read off the points
is too small by less than .005 (`recmem.reference.drift.ks_distance`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from feature_store.arrays import Float32Array, Float64Array, IntArray

POINTS = 220
"""Quantiles that are kept, at most; equal ones once."""
SHARE_UNIT = 10_000
"""Shares are kept as whole numbers of this part: a rounding of 5e-5."""
BINS = 10
"""Bins of about equal shares of the reference, on which the population stability index is computed."""
_MOST_POINTS = 1000
"""A distribution with more was not made here."""
_SMALLEST_SHARE = 1e-9


@dataclass(frozen=True)
class Distribution:
    """The values of a figure over the rows of a reference."""

    rows: int
    """Rows, those without a value among them."""
    effective: float
    """Independent rows that would tell as much, see `effective_rows`: 1 to `rows`."""
    missing: float
    """Share of the rows without a value, 0 to 1."""
    values: tuple[float, ...]
    """Ascending values, in float32; empty if no row has one."""
    at: tuple[int, ...]
    """Per value: how many in `SHARE_UNIT` of the rows with a value lie at or below it."""
    mass: tuple[int, ...]
    """Per value: how many in `SHARE_UNIT` of them have exactly this value."""

    def __post_init__(self) -> None:
        is_sound = (
            len(self.values) == len(self.at) == len(self.mass) <= _MOST_POINTS
            and all(low < high for low, high in pairwise(self.values))
            and all(low <= high for low, high in pairwise(self.at))
            and all(0 <= part <= whole <= SHARE_UNIT for part, whole in zip(self.mass, self.at, strict=True))
            and 0 <= self.missing <= 1
            and self.rows >= 1
            and 1 <= self.effective <= self.rows
        )
        if not is_sound:
            raise ValueError("distribution: expected ascending points of shares, got others. Train again.")

    @property
    def at_shares(self) -> Float64Array:
        """Share of the rows with a value that lie at or below each of `values`: float64[point]."""
        return np.array(self.at, np.float64) / SHARE_UNIT

    @property
    def below_shares(self) -> Float64Array:
        """Share of the rows with a value that lie below each of `values`: float64[point]."""
        return (np.array(self.at, np.float64) - np.array(self.mass, np.float64)) / SHARE_UNIT

    @property
    def edges(self) -> Float32Array:
        """Upper ends of all bins but the last: ascending float32, as values are.

        There are at most `BINS` bins, of about equal shares. A value that many rows have ends a bin.
        """
        edges = []
        below = 0.0
        for value, share, mass in zip(self.values, self.at_shares, np.array(self.mass) / SHARE_UNIT, strict=True):
            is_full = share - below >= 1 / BINS - _SMALLEST_SHARE or mass >= 1 / BINS
            if is_full and share < 1 - _SMALLEST_SHARE:
                edges.append(value)
                below = share
        return np.array(edges, np.float32)

    def bin_shares(self) -> Float64Array:
        """Share of all rows in each bin, and behind them the share of rows without a value: float64[bin + 1]."""
        places = np.searchsorted(np.array(self.values, np.float32), self.edges)
        upper = np.concatenate([[0.0], self.at_shares[places], [1.0]])
        return np.append(np.diff(upper) * (1 - self.missing), self.missing)

    def quantile(self, share: float) -> float:
        """The least kept value at or below which at least this share of the rows with a value lies; NaN without any."""
        if not self.values:
            return float("nan")
        place = int(np.searchsorted(self.at_shares, share - _SMALLEST_SHARE))
        return self.values[min(place, len(self.values) - 1)]

    @classmethod
    def of(cls, values: Float32Array, groups: IntArray) -> Distribution:
        """The distribution of at least one row's values, NaN where there is none. `groups`: each row's user.

        Rows of one user are not independent, which `effective` accounts for.
        """
        values = values.astype(np.float32)
        present = np.sort(values[np.isfinite(values)])
        points, at, mass = _points(present)
        n_rows = len(values)
        kept = cls(n_rows, 1.0, 1 - len(present) / n_rows, points, at, mass)
        effective = effective_rows(bin_of(values, kept.edges), groups)
        return cls(n_rows, effective, kept.missing, points, at, mass)


def bin_of(values: Float32Array, edges: Float32Array) -> IntArray:
    """The bin of each value: int64[row]; values above the last edge have the bin `len(edges)`, NaN the one after it."""
    bins = np.searchsorted(edges, values, side="left")
    bins[~np.isfinite(values)] = len(edges) + 1
    return bins.astype(np.int64)


def effective_rows(bins: IntArray, groups: IntArray) -> float:
    """How many independent rows would give the shares of the bins as exactly as these rows do: 1 to the number of rows.

    The rows divided by the generalised design effect of Rao and Scott (1981), the mean over the bins of how much the
    share varies between groups (users) in excess of what it would between independent rows. If all rows are in one
    bin, nothing varies: then it is the number of groups.
    """
    n_rows = len(bins)
    group = np.unique(groups, return_inverse=True)[1].reshape(-1)
    n_groups = int(group.max()) + 1
    found, column = np.unique(bins, return_inverse=True)
    n_bins = len(found)
    if n_groups == 1 or n_bins == 1:
        return float(n_groups)
    cells = np.bincount(group * n_bins + column.reshape(-1), minlength=n_groups * n_bins)
    counts = cells.reshape(n_groups, n_bins).astype(np.float64)
    shares = counts.sum(axis=0) / n_rows
    # What each group has in a bin beyond its rows' expected part: its sum of squares is the variance of the share.
    excess = counts - counts.sum(axis=1, keepdims=True) * shares
    variance = (excess**2).sum(axis=0) / n_rows**2 * n_groups / (n_groups - 1)
    design_effect = n_rows / (n_bins - 1) * float((variance / shares).sum())
    return float(np.clip(n_rows / max(design_effect, _SMALLEST_SHARE), 1.0, n_rows))


def _points(present: Float32Array) -> tuple[tuple[float, ...], tuple[int, ...], tuple[int, ...]]:
    """Values, and the shares at or below and exactly at each, of sorted values."""
    n_rows = len(present)
    if not n_rows:
        return (), (), ()
    places = np.ceil(np.linspace(0, n_rows, POINTS + 1)).astype(np.int64) - 1
    chosen = np.unique(present[np.clip(places, 0, n_rows - 1)])
    at = np.searchsorted(present, chosen, side="right")
    below = np.searchsorted(present, chosen, side="left")
    at_units = np.round(at / n_rows * SHARE_UNIT).astype(int)
    below_units = np.round(below / n_rows * SHARE_UNIT).astype(int)
    # The shortest decimals that are read as the same float32.
    return tuple(map(_shortest, chosen)), tuple(at_units.tolist()), tuple((at_units - below_units).tolist())


def _shortest(value: np.float32) -> float:
    return float(str(value))
