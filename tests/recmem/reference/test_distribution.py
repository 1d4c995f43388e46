"""Distributions: their points lose less than .005 of any share, and rows of one user do not count as independent."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from recmem.reference.distribution import POINTS, Distribution, bin_of, effective_rows
from tolerances import close


def of(values: list[float] | np.ndarray) -> Distribution:
    array = np.asarray(values, np.float32)
    return Distribution.of(array, np.arange(len(array)))


def test_shares_at_and_below_each_value_of_a_case_worked_by_hand() -> None:
    found = of([2.0, 1.0, 2.0, 5.0, math.nan])
    assert found.values == (1.0, 2.0, 5.0)
    close(found.at_shares, [0.25, 0.75, 1.0], "exact")
    close(found.below_shares, [0.0, 0.25, 0.75], "exact")
    close(found.missing, 0.2, "float64")
    assert found.quantile(0.5) == 2.0


def test_between_two_points_lies_less_than_half_a_hundredth() -> None:
    values = np.random.default_rng(0).lognormal(size=30_000).astype(np.float32)
    found = of(values)
    assert len(found.values) <= POINTS + 1
    between = found.below_shares[1:] - found.at_shares[:-1]
    assert between.max() < 0.005


def test_bins_are_about_tenths_and_a_frequent_value_is_a_bin_of_its_own() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([np.zeros(4000), random.random(6000) + 1, np.full(500, np.nan)])
    found = of(values)
    shares = found.bin_shares()
    close(shares.sum(), 1.0, "float64")
    assert found.edges[0] == 0.0
    assert abs(shares[0] - 4000 / 10_500) < 1e-4
    assert abs(shares[-1] - 500 / 10_500) < 1e-4
    assert np.all(np.abs(shares[1:-2] - 0.1) < 0.01)
    bins = bin_of(values.astype(np.float32), found.edges)
    counted = np.bincount(bins, minlength=len(shares)) / len(values)
    assert np.abs(counted - shares).max() < 1e-3


def test_a_float32_value_is_found_again_exactly() -> None:
    found = of(np.log1p(np.arange(20, dtype=np.float32)))
    assert [np.float32(value) for value in found.values] == np.log1p(np.arange(20, dtype=np.float32)).tolist()


def test_independent_rows_count_nearly_whole_and_copies_of_a_users_row_once() -> None:
    random = np.random.default_rng(0)
    bins = random.integers(0, 10, 2000)
    assert 1600 < effective_rows(bins, np.arange(2000)) <= 2000
    copies = np.repeat(bins, 50)
    users = np.repeat(np.arange(2000), 50)
    assert 1600 < effective_rows(copies, users) < 2400


def test_rows_of_one_user_are_one_row() -> None:
    assert effective_rows(np.arange(100) % 10, np.zeros(100, np.int64)) == 1.0


def test_a_constant_figure_has_as_many_rows_as_users() -> None:
    assert effective_rows(np.zeros(100, np.int64), np.arange(100) // 10) == 10.0


def test_no_row_has_a_value() -> None:
    found = of([math.nan, math.nan])
    assert (found.values, found.missing) == ((), 1.0)
    close(found.bin_shares(), [0.0, 1.0], "exact")
    assert math.isnan(found.quantile(0.5))


def test_points_that_do_not_ascend_are_refused() -> None:
    with pytest.raises(ValueError, match="expected ascending points"):
        replace(of([1.0, 2.0]), values=(2.0, 1.0))
