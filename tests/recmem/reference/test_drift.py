"""Distances from a reference: against cases worked by hand, scipy, and how often chance passes their limits."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import chi2, ks_2samp

from recmem.reference.distribution import Distribution, bin_of
from recmem.reference.drift import ks_distance, ks_limit, share_limit, stability_index, stability_limit
from tolerances import close

LOSS_OF_POINTS = 0.005
"""What a KS distance may be too small by, see `recmem.reference.distribution`."""


def distribution(values: np.ndarray) -> Distribution:
    return Distribution.of(values.astype(np.float32), np.arange(len(values)))


def index_of(reference: Distribution, values: np.ndarray) -> float:
    edges = reference.edges
    shares = np.bincount(bin_of(values.astype(np.float32), edges), minlength=len(edges) + 2) / len(values)
    return stability_index(reference.bin_shares(), shares, n_reference=reference.rows, n_current=len(values))


def test_index_of_a_case_worked_by_hand() -> None:
    # (0.6 - 0.5) ln(0.6 / 0.5) + (0.4 - 0.5) ln(0.4 / 0.5); half a row more in each bin does not show in so many.
    expected = 0.1 * math.log(1.2) - 0.1 * math.log(0.8)
    found = stability_index(np.array([0.5, 0.5, 0.0]), np.array([0.6, 0.4, 0.0]), n_reference=1e12, n_current=1e12)
    assert abs(found - expected) < 1e-9


def test_an_empty_bin_gives_a_finite_index_that_grows_with_the_rows() -> None:
    few, many = (
        stability_index(np.array([0.5, 0.5]), np.array([1.0, 0.0]), n_reference=n, n_current=n) for n in (100, 10_000)
    )
    assert 0.25 < few < many < math.inf


def test_distance_is_scipys_but_for_what_lies_between_the_points() -> None:
    random = np.random.default_rng(0)
    for values, others in (
        (random.normal(size=5000), random.normal(0.2, 1.3, 3000)),
        (random.poisson(2, 5000), random.poisson(2.5, 4000)),
        (np.where(random.random(5000) < 0.5, 0, random.random(5000)), random.random(3000)),
    ):
        exact = ks_2samp(values.astype(np.float32), others.astype(np.float32)).statistic
        found = ks_distance(distribution(values), others.astype(np.float32))
        assert exact - LOSS_OF_POINTS < found <= exact + 1e-4


def test_distance_of_nothing_is_not_a_number() -> None:
    reference = distribution(np.arange(10))
    assert math.isnan(ks_distance(reference, np.array([np.nan], np.float32)))


def test_limits_are_passed_by_chance_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)
    n_reference, n_current, significance, n_trials = 4000, 300, 0.05, 400
    passed_index = passed_distance = 0
    for _ in range(n_trials):
        reference = distribution(random.normal(size=n_reference))
        values = random.normal(size=n_current)
        n_bins = int((reference.bin_shares() > 0).sum())
        limit = stability_limit(n_bins, n_reference=n_reference, n_current=n_current, significance=significance)
        passed_index += index_of(reference, values) > limit
        distance = ks_distance(reference, values.astype(np.float32))
        limit = ks_limit(n_reference=n_reference, n_current=n_current, significance=significance)
        passed_distance += distance > limit
    assert 0.02 < passed_index / n_trials < 0.09
    assert 0.01 < passed_distance / n_trials < 0.09


def test_two_hundred_independent_rows_cannot_show_an_index_of_a_tenth() -> None:
    limit = stability_limit(10, n_reference=10_000, n_current=200, significance=0.01 / 100)
    assert limit > 0.1
    close(limit, float(chi2.isf(1e-4, 9)) * (1 / 10_000 + 1 / 200), "float64")


def test_a_rise_of_a_share_is_held_against_its_own_chance() -> None:
    # One-sided at 2.5%: 1.96 standard errors of a difference of two shares of one half.
    found = share_limit(0.5, n_reference=1000, n_current=1000, significance=0.025)
    assert abs(found - 1.96 * math.sqrt(0.25 * 2 / 1000)) < 1e-4
