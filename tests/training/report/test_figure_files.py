"""Every figure as SVG and as PNG, without touching the global state of Matplotlib."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from example_report import NASTY, ledger
from training.evaluation.ledger import HEADLINE_METRIC
from training.report import plots
from training.report.charts import Panel
from training.report.figure_files import to_png, to_svg

FIGURES: dict[str, Callable[[], Figure]] = {
    "rankings": lambda: plots.rankings_figure(ledger()),
    "slices": lambda: plots.slices_figures(ledger())[HEADLINE_METRIC],
    "importance": lambda: plots.importance_figure({NASTY: 3.0, "match_score": 1.0}, text_features={"match_score"}),
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


def test_a_dollar_in_a_feature_name_is_no_formula() -> None:
    svg = to_svg(plots.importance_figure({"price $x_1$": 1.0}))
    assert "price $x_1$" in "".join(ElementTree.fromstring(svg).itertext())


def test_drawing_leaves_the_global_state_of_matplotlib_alone() -> None:
    before = dict(mpl.rcParams)
    for figure in FIGURES.values():
        to_svg(figure())
    assert dict(mpl.rcParams) == before
