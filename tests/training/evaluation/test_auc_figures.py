"""AUC over impressions, beside that of click-through rates."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.auc_figures import AucFigures, AucPerQuery

NAN = float("nan")


def auc(ranker: list[float], click_through: list[float]) -> AucPerQuery:
    return AucPerQuery(np.arange(len(ranker)), np.array(ranker), np.array(click_through))


def test_figures_are_means_over_the_impressions_that_have_an_auc() -> None:
    figures = AucFigures.of(auc([0.75, NAN, 0.5, 0.25], [0.5, NAN, 0.25, 0.0]), seed=0)
    assert (figures.queries, figures.ranker, figures.click_through) == (3, 0.5, 0.25)
    # The ranker is better by as much in each.
    assert (figures.difference, figures.ci95) == (0.25, (0.25, 0.25))
    low, high = figures.ranker_ci95
    assert 0.25 <= low < 0.5 < high <= 0.75


def test_impressions_of_several_windows_are_pooled() -> None:
    many = auc([1.0] * 30, [0.5] * 30)
    few = auc([0.0] * 10, [0.5] * 10)
    figures = AucFigures.of(AucPerQuery.concat([many, few]), seed=0)
    assert figures.ranker == pytest.approx(0.75)
    assert figures.difference == pytest.approx(0.25)


def test_a_users_impressions_are_drawn_together() -> None:
    half = [1.0] * 20 + [0.0] * 20
    apart = AucFigures.of(auc(half, [0.5] * 40), seed=0)
    of_two_users = AucPerQuery(np.repeat([0, 1], 20), np.array(half), np.full(40, 0.5))
    together = AucFigures.of(of_two_users, seed=0)
    assert together.ranker_ci95 == (0.0, 1.0)
    assert apart.ranker_ci95[1] - apart.ranker_ci95[0] < 0.4
