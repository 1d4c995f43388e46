"""The best trial's gain, and how much of it is luck."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from training.settings_search.gain import gain_of


def figures(ndcg: object, n_users: int = 100) -> pl.DataFrame:
    values = np.asarray(ndcg, np.float64)
    rows = np.arange(len(values))
    return pl.DataFrame({"user": rows % n_users, "time": rows, "ndcg": values})


def test_gain_is_the_mean_difference_of_the_queries_that_both_trials_have() -> None:
    base = figures([0.25, 0.5, 0.5, 0.0])
    best = figures([0.5, 0.5, 1.0, 0.25, 1.0])[1:]
    gain = gain_of({0: base, 7: best}, base=0, best=7, seed=0)
    assert (gain.queries, gain.users) == (3, 3)
    assert gain.best.difference == pytest.approx((0 + 0.5 + 0.25) / 3)
    assert gain.best.low <= gain.best.difference <= gain.best.high


def test_clear_gain_is_no_noise_and_stands_where_it_was_not_chosen() -> None:
    random = np.random.default_rng(0)
    base = random.uniform(0, 0.5, 500)
    trials = {0: figures(base), 1: figures(base - 0.1), 2: figures(base + 0.2)}
    gain = gain_of(trials, base=0, best=2, seed=0)
    assert gain.best.difference == pytest.approx(0.2)
    assert gain.chosen_elsewhere.difference == pytest.approx(0.2)
    assert not gain.is_noise


def test_best_of_many_equal_trials_seems_to_gain_but_not_where_it_was_not_chosen() -> None:
    seeming = []
    honest = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        trials = {number: figures(random.uniform(size=300)) for number in range(30)}
        best = max(trials, key=lambda number: (trials[number]["ndcg"].mean(), -number))
        gain = gain_of(trials, base=0, best=best, seed=seed)
        seeming.append(gain.best.difference)
        honest.append(gain.chosen_elsewhere.difference)
    assert np.mean(seeming) > 0.025
    assert abs(np.mean(honest)) < 0.01


def test_base_configuration_as_the_best_gains_nothing() -> None:
    gain = gain_of({0: figures([0.5, 0.25]), 1: figures([0.25, 0.0])}, base=0, best=0, seed=0)
    assert gain.best.difference == 0
    assert gain.chosen_elsewhere.difference == 0
    assert gain.is_noise


def test_gain_that_two_users_do_not_show_is_noise() -> None:
    gain = gain_of({0: figures([0.0] * 4, 1), 1: figures([1.0] * 4, 1)}, base=0, best=1, seed=0)
    assert gain.best == (1.0, -1.0, 1.0)
    assert gain.is_noise
