from __future__ import annotations

import math

import numpy as np

from tolerances import close
from training.evaluation.intervals import paired_bootstrap
from training.evaluation.ledger import Lift
from training.evaluation.paired_figures import PairedFigures, paired_differences

CI95 = (-0.1, 0.4)


def test_both_means_are_over_the_queries_that_have_both_figures() -> None:
    figures = PairedFigures(np.array([0.2, 0.4, np.nan, 0.9]), np.array([0.3, 0.7, 0.5, np.nan]))
    assert figures.n_queries == 2
    assert figures.defined.tolist() == [True, True, False, False]
    assert figures.lift(CI95) == Lift(0.3, 0.5, 0.2, CI95)


def test_queries_weigh_as_much_as_they_are_given() -> None:
    figures = PairedFigures(np.array([0.0, 1.0]), np.array([1.0, 1.0]), np.array([3, 1]))
    assert figures.lift(CI95) == Lift(0.25, 1.0, 0.75, CI95)


def test_without_a_query_that_has_both_the_means_are_undefined() -> None:
    lift = PairedFigures(np.array([np.nan, 0.1]), np.array([0.2, np.nan])).lift(CI95)
    assert math.isnan(lift.without)
    assert math.isnan(lift.with_)
    assert math.isnan(lift.difference)


def test_every_pair_gets_the_interval_that_it_has_alone() -> None:
    random = np.random.default_rng(0)
    users = np.repeat(np.arange(12), 3)
    first = PairedFigures(random.random(36), random.random(36))
    weighted = PairedFigures(random.random(36), random.random(36), random.integers(1, 5, 36))
    together = paired_differences([first, weighted], users, generator=np.random.default_rng(1))
    for figures, found in zip((first, weighted), together, strict=True):
        alone = paired_bootstrap(
            figures.without,
            figures.with_,
            groups=users,
            weights=figures.weights,
            generator=np.random.default_rng(1),
        )
        close(np.array(found), np.array(alone), "float64")
