"""Where charts put what they draw."""

from __future__ import annotations

from matplotlib.figure import Figure

from training.report.charts import LOSS, MATCH, WITHOUT, Panel, bar_chart, curve_chart, forest_chart, forest_limits


def test_bars_lie_in_rows_from_the_bottom_up_with_their_labels() -> None:
    axes = Figure().subplots()
    bar_chart(axes, ["a", "b"], [0.25, 0.5], [WITHOUT, MATCH], ["a quarter", "half"])
    assert [(bar.get_y() + bar.get_height() / 2, bar.get_width()) for bar in axes.patches] == [(0, 0.25), (1, 0.5)]  # type: ignore[attr-defined]
    assert [text.get_text() for text in axes.texts] == ["a quarter", "half"]


def test_a_forest_is_blue_above_zero_orange_below_and_grey_across() -> None:
    axes = Figure().subplots()
    forest_chart(axes, ["up", "down", "open"], [(0.2, (0.1, 0.3)), (-0.2, (-0.3, -0.1)), (0.0, (-0.1, 0.1))])
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert [point.get_color() for point in points] == [MATCH, LOSS, WITHOUT]


def test_a_forest_says_in_words_what_is_unknown() -> None:
    axes = Figure().subplots()
    forest_chart(axes, ["few", "none"], [(0.2, (-1.0, 1.0)), (float("nan"), (-1.0, 1.0))])
    assert [text.get_text() for text in axes.texts] == ["+0.200  (too few users)", "not defined"]


def test_labels_of_curves_that_end_together_do_not_overlap() -> None:
    axes = Figure().subplots()
    panel = Panel("p", "step", "y", {"one": [0.0, 1.0], "two": [0.0, 1.0]})
    curve_chart(axes, panel, labels={}, colours={})
    one, two = (text.xy[1] for text in axes.texts)  # type: ignore[attr-defined]
    assert abs(one - two) >= 0.09


def test_curves_begin_at_the_first_step() -> None:
    axes = Figure().subplots()
    curve_chart(axes, Panel("p", "step", "y", {"one": [0.5, 1.0]}, first=7), labels={}, colours={})
    assert list(axes.lines[0].get_xdata()) == [7, 8]  # type: ignore[call-overload]


def test_the_axis_of_a_forest_holds_zero_and_every_known_interval() -> None:
    low, high = forest_limits([(0.2, (0.1, 0.3)), (0.4, (-1.0, 1.0)), (float("nan"), (float("nan"), 0.2))])
    assert low < 0 < 0.4 < high < 0.5
