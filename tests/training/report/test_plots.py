"""The figures: what they draw, as SVG and PNG, without touching the global state of Matplotlib."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from example_report import NASTY, ledger
from tolerances import close
from training.report import charts, plots
from training.report.charts import Panel
from training.report.figure_files import to_png, to_svg

FIGURES: dict[str, Callable[[], Figure]] = {
    "lift": lambda: plots.lift_figure(ledger()),
    "slices": lambda: plots.slices_figure(ledger()),
    "importance": lambda: plots.importance_figure({NASTY: 3.0, "match_score": 1.0}, match_features={"match_score"}),
    "curves": lambda: plots.curves_figure([Panel(NASTY, "epoch", "loss", {NASTY: [3.0, 2.0]})]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_well_formed_svg_that_a_page_can_recolour(name: str) -> None:
    svg = to_svg(FIGURES[name]())
    assert ElementTree.fromstring(svg.replace("xlink:", "")).tag.endswith("svg")
    assert "var(--ink, #1c2330)" in svg
    assert "var(--match, #0072b2)" in svg


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_png(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert to_png(FIGURES[name](), dpi=50).startswith(b"\x89PNG")


def widths(axes: Axes) -> list[float]:
    return [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]


def test_bars_are_as_long_as_the_figures_and_in_their_order() -> None:
    bars = plots.lift_figure(ledger()).axes[0]
    assert widths(bars) == [0.095, 0.142, 0.249]
    assert [label.get_text() for label in bars.get_yticklabels()] == [
        "ranker without match",
        "co-visitation",
        "ranker with match",
    ]


def test_a_forest_shows_each_interval_where_it_lies_and_by_its_sign() -> None:
    axes = plots.slices_figure(ledger()).axes[0]
    spans = {tuple(np.asarray(line.get_xdata()).tolist()): line.get_color() for line in axes.lines}
    assert spans[(0.1, 0.2)] == charts.MATCH
    assert spans[(-0.15, -0.05)] == charts.LOSS
    assert (-1.0, 1.0) not in spans
    assert axes.get_xlim()[0] > -0.5


def test_a_dollar_in_a_feature_name_is_no_formula() -> None:
    svg = to_svg(plots.importance_figure({"price $x_1$": 1.0}))
    assert "price $x_1$" in "".join(ElementTree.fromstring(svg).itertext())


def test_importance_is_drawn_as_shares_of_the_whole() -> None:
    axes = plots.importance_figure({"a": 6.0, "b": 3.0, "c": 1.0}, n_features=2).axes[0]
    close(widths(axes), [0.3, 0.6], "float64")


def test_labels_of_curves_that_end_together_do_not_overlap() -> None:
    axes = plots.curves_figure([Panel("p", "step", "y", {"one": [0.0, 1.0], "two": [0.0, 1.0]})]).axes[0]
    one, two = (text.xy[1] for text in axes.texts)  # type: ignore[attr-defined]
    assert abs(one - two) >= 0.09


def test_drawing_leaves_the_global_state_of_matplotlib_alone() -> None:
    before = dict(mpl.rcParams)
    for figure in FIGURES.values():
        to_svg(figure())
    assert dict(mpl.rcParams) == before


def test_the_axis_of_a_forest_holds_zero_and_every_known_interval() -> None:
    low, high = charts.forest_limits([(0.2, (0.1, 0.3)), (0.4, (-1.0, 1.0)), (float("nan"), (float("nan"), 0.2))])
    assert low < 0 < 0.4 < high < 0.5
