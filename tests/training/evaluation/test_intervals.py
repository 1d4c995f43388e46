from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tolerances import close
from training.evaluation import intervals
from training.evaluation.intervals import paired_bootstrap, paired_bootstraps


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_difference_is_what_the_second_adds_to_the_first() -> None:
    found = paired_bootstrap(np.array([0.25, 0.5]), np.array([0.5, 0.75]), generator=seeded())
    assert found == (0.25, 0.25, 0.25)


def test_the_interval_of_independent_queries_is_that_of_the_normal_law() -> None:
    gains = seeded().normal(0.1, 1.0, 4000)
    found = paired_bootstrap(np.zeros(4000), gains, generator=seeded(1), n_resamples=4000)
    half = 1.96 * gains.std() / math.sqrt(len(gains))
    assert found.difference == pytest.approx(gains.mean())
    assert found.low == pytest.approx(gains.mean() - half, abs=half / 15)
    assert found.high == pytest.approx(gains.mean() + half, abs=half / 15)


def test_the_ends_of_the_interval_are_the_percentiles_that_were_asked_for() -> None:
    gains = seeded().normal(0.1, 1.0, 4000)
    found = paired_bootstrap(np.zeros(4000), gains, percentiles=(10.0, 100.0), generator=seeded(1), n_resamples=4000)
    error = gains.std() / math.sqrt(len(gains))
    assert found.low == pytest.approx(gains.mean() - 1.2816 * error, abs=error / 10)
    assert found.high > gains.mean() + 3 * error


def test_queries_that_repeat_within_a_user_do_not_narrow_the_interval() -> None:
    gains = seeded().normal(0.1, 1.0, 200)
    once = paired_bootstrap(np.zeros(200), gains, generator=seeded(1))
    repeated = np.repeat(gains, 25)
    users = np.repeat(np.arange(200), 25)
    by_user = paired_bootstrap(np.zeros(5000), repeated, groups=users, generator=seeded(1))
    by_query = paired_bootstrap(np.zeros(5000), repeated, generator=seeded(1))
    assert by_user == pytest.approx(once)
    assert by_query.high - by_query.low < (once.high - once.low) / 3


def test_clusters_of_unequal_size_agree_with_a_slow_oracle() -> None:
    users = np.array(["a", "b", "a", "c", "c", "c"])
    a = np.zeros(6)
    b = np.array([0.1, -0.3, 0.5, 0.2, 0.0, 0.7])
    found = paired_bootstrap(a, b, groups=users, generator=seeded(3), n_resamples=20_000)
    generator = seeded(4)
    means = []
    for _ in range(20_000):
        drawn = np.concatenate([b[users == user] for user in generator.choice(["a", "b", "c"], 3)])
        means.append(drawn.mean())
    close([found.low, found.high], np.percentile(means, [2.5, 97.5]), "float64")


def test_nan_queries_are_left_out_of_difference_and_interval() -> None:
    a = np.array([0.0, np.nan, 0.0, 0.25])
    b = np.array([0.5, 0.9, np.nan, 0.75])
    assert paired_bootstrap(a, b, generator=seeded()) == (0.5, 0.5, 0.5)


def test_weights_weigh_the_queries() -> None:
    found = paired_bootstrap(np.zeros(2), np.array([1.0, 0.0]), weights=np.array([3, 1]), generator=seeded())
    assert found == (0.75, 0.0, 1.0)


@pytest.mark.parametrize("n_queries", [0, 1, 5])
def test_with_fewer_than_two_users_the_interval_is_unknown(n_queries: int) -> None:
    groups = np.zeros(n_queries)
    found = paired_bootstrap(np.zeros(n_queries), np.full(n_queries, 0.2), groups=groups, generator=seeded())
    assert (found.low, found.high) == (-1.0, 1.0)


def test_many_users_are_merged_into_clusters_without_changing_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    gains = seeded().normal(0.1, 1.0, 6000)
    users = np.arange(6000)
    apart = paired_bootstrap(np.zeros(6000), gains, groups=users, generator=seeded(1))
    monkeypatch.setattr(intervals, "MAX_CLUSTERS", 500)
    bundled = paired_bootstrap(np.zeros(6000), gains, groups=users, generator=seeded(1))
    assert bundled.difference == pytest.approx(apart.difference)
    assert bundled.high - bundled.low == pytest.approx(apart.high - apart.low, rel=0.15)


def test_columns_together_equal_columns_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    gains = seeded().normal(size=(60, 3))
    users = seeded(1).integers(0, 20, 60)
    gains[::7, 1] = np.nan
    together = paired_bootstraps(gains, groups=users, generator=seeded(2))
    monkeypatch.setattr(intervals, "_COUNTS_AT_ONCE", 100)
    for column, found in enumerate(together):
        alone = paired_bootstrap(np.zeros(60), gains[:, column], groups=users, generator=seeded(2))
        close(alone, found, "float64")


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=30), st.integers(0, 99))
def test_swapping_the_two_mirrors_difference_and_interval(values: list[float], seed: int) -> None:
    a = np.array(values)
    b = np.zeros(len(values))
    forth = paired_bootstrap(a, b, generator=seeded(seed), n_resamples=101)
    back = paired_bootstrap(b, a, generator=seeded(seed), n_resamples=101)
    close(forth, [-back.difference, -back.high, -back.low], "float64")
