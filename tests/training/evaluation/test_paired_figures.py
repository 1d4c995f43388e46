from __future__ import annotations

import math

import numpy as np

from training.evaluation.ledger import Lift
from training.evaluation.paired_figures import PairedFigures

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
