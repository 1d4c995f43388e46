from __future__ import annotations

import math

from training.evaluation.intervals import UNKNOWN_INTERVAL
from training.report.html_charts import IntervalMark, bar_lengths, interval_marks


def test_marks_lie_on_one_axis_that_holds_zero_and_has_a_margin() -> None:
    marks = interval_marks({"a": (0.5, (0.0, 1.0)), "b": (-0.5, (-1.0, 0.25))})
    # The axis goes from -1.12 to 1.12: the ends and 6% of their distance.
    assert marks["a"] == IntervalMark(zero=50.0, dot=72.32, low=50.0, width=44.64)
    assert marks["b"] == IntervalMark(zero=50.0, dot=27.68, low=5.36, width=55.8)


def test_an_unknown_interval_and_an_undefined_difference_are_not_drawn() -> None:
    marks = interval_marks(
        {"a": (0.5, UNKNOWN_INTERVAL), "b": (math.nan, (math.nan, math.nan)), "c": (1.0, (0.5, 1.5))}
    )
    assert (marks["a"].low, marks["a"].width) == (None, 0.0)
    assert marks["a"].dot is not None
    assert (marks["b"].dot, marks["b"].low) == (None, None)
    assert 0 < marks["c"].zero < 50


def test_the_largest_bar_is_100_percent_long() -> None:
    assert bar_lengths([0.1, -0.4, 0.0, math.nan]) == [25.0, 100.0, 0.0, 0.0]
    assert bar_lengths([0.0, math.nan]) == [0.0, 0.0]
    assert bar_lengths([]) == []
