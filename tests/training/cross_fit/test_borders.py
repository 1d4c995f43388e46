"""The folds meet without a jump: the same pairs have about the same mean score on both sides of a border."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import polars as pl
import pytest

import cross_fit_log
from recmem.matching.calibration import Calibration
from tolerances import close
from training.cross_fit.borders import Border, borders
from training.cross_fit.chain import Chain, WindowPairs
from training.cross_fit.row_features import CrossFitted
from training.training_data import ranking_data

LARGEST_JUMP = 0.05
"""Of the mean score of the same pairs, as a share of it. Without a common scale it is .05 to .20 on this log."""
LARGEST_DIFFERENCE = 0.2
"""Of the mean scores of the positive rows of two folds: other rows, some 130 in each."""


def test_like_pairs_have_close_mean_scores_on_both_sides_of_each_border() -> None:
    found = cross_fit_log.fitted()
    assert [border.time for border in found.borders] == [fold.until for fold in found.folds[1:-1]]
    for border in found.borders:
        assert abs(border.jump) < LARGEST_JUMP * border.after
        # Not only close to each other: about what they are the probability of.
        assert 0.8 < border.after / border.positive_rate < 1.25


def test_rows_of_the_same_kind_have_close_mean_scores_before_and_after_a_border() -> None:
    frame = cross_fit_log.fitted().frame.drop_nulls("match_score")
    times = frame["timestamp"].dt.epoch("us")
    means = []
    for begin, end in pairwise([fold.until for fold in cross_fit_log.fitted().folds]):
        of_fold = frame.filter((times > begin) & (times <= end) & (pl.col("label") == 1))
        means.append(of_fold["match_score"].mean())
    for before, after in pairwise(means):
        assert abs(after - before) < LARGEST_DIFFERENCE * max(before, after)


def test_a_fold_on_another_scale_would_show_as_a_jump() -> None:
    fitted = cross_fit_log.cross_fitted()
    wrong = replace(fitted.folds[1], calibration=Calibration(1.0, 3.0))
    broken = CrossFitted((fitted.folds[0], wrong, *fitted.folds[2:]), fitted.dataset, fitted.matchers, fitted.embedding)
    border = borders(_chain(fitted), broken)[0]
    assert border.jump > 0.3
    close([border.before], [borders(_chain(fitted), fitted)[0].before], "float32")


def test_two_folds_have_no_border_that_pairs_lie_behind() -> None:
    fitted = cross_fit_log.cross_fitted()
    chain = _chain(fitted)
    assert borders(Chain(chain.folds[:2], chain.windows[:2]), fitted) == []


def test_a_jump_is_how_much_higher_the_score_is_behind_the_border() -> None:
    assert Border(time=1, n_pairs=10, positive_rate=0.1, before=0.25, after=0.5).jump == pytest.approx(0.25)


def _chain(fitted: CrossFitted) -> Chain:
    """The folds with the pairs of a few queries of each window."""
    run, data = cross_fit_log.run_and_data()
    cuts = [data.split.ranker_from - 1, *(fold.until for fold in fitted.folds)]
    windows = []
    for begin, end in pairwise(cuts):
        queries, pairs = ranking_data(data, fitted.matchers[0], begin, end, 20, run.config)
        windows.append(WindowPairs(queries, pairs, pairs.pairs.values["match_raw"]))
    return Chain(fitted.folds, tuple(windows))
