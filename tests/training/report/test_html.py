from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tolerances import close
from training.evaluation.ledger import Ledger, Lift, Protocol, Row, Slice
from training.report import plots
from training.report.html import Example, ReportContent, Window, headline, remarks, render_report
from training.report.plots import Panel

NASTY = "Žluťoučký 🎉 <script>alert('x')</script> & {{ 7*7 }} $x_1$"


def ledger(without: float = 0.095, with_: float = 0.249, ci95: tuple[float, float] = (0.14, 0.17)) -> Ledger:
    lift = Lift(without, with_, round(with_ - without, 6), ci95)
    figures = {"recall@10": 0.3, "mrr": 0.2, "auc": 0.7}
    return Ledger(
        protocol=Protocol(1386, 3934, "2025-08-09", "catalogue", test_digest="9f2c1e77aa01bb34"),
        rows=(
            Row("covisitation", {"ndcg@10": 0.142, **figures}),
            Row("ranker_without_match", {"ndcg@10": without, **figures}),
            Row("ranker_with_match", {"ndcg@10": with_, **figures}),
        ),
        lift={"ndcg@10": lift, "mrr": Lift(0.2, 0.2, 0.0, (-0.01, 0.01))},
        slices={
            "memory of 1 to 5": Slice(204, 0.1, 0.25, (0.1, 0.2)),
            "old items": Slice(90, 0.3, 0.2, (-0.15, -0.05)),
            "one user": Slice(1, 0.3, 0.2, (-1.0, 1.0)),
            "cold items": Slice(265, 0.0, 0.54, (0.49, 0.61), "recall@10", 277),
        },
        retrieval={"recall@200": 0.712},
    )


def content(text: str = "libssl-dev") -> ReportContent:
    item = {"item": text, "score": 2.41, "reasons": [(f"builds on {text}", 0.41), ("prior", -0.03)]}
    example: Example = {"user": text, "memory": [text] * 20, "items": [item]}  # type: ignore[list-item]
    return ReportContent(
        title=text,
        data={"Users": 2995, "Texts": text},
        windows=[Window("test", "2025-08-09", "2026-01-01", text)],
        importance={text: 3.0, "match_score": 1.0},
        match_features={"match_score"},
        curves=[Panel(text, "epoch", "loss", {text: [3.0, 2.0], "held out": [3.0, 2.5]})],
        examples=[example, {"user": "newcomer", "memory": [], "items": []}],
        parameters={"seed": 0, "note": text},
        versions={"recmem": "0.1.0"},
        data_digest="ab12cd34",
        command="recmem train --items items.parquet",
    )


class Page(HTMLParser):
    """The tags of a page with their attributes, and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@cache
def plain_page() -> str:
    return render_report(ledger(), content())


# The headline


def test_a_lift_is_told_in_one_plain_sentence() -> None:
    assert headline(ledger()) == (
        "The match score lifts NDCG@10 from 0.095 to 0.249 (+0.154, 95% interval: +0.140 to +0.170)."
    )


def test_an_interval_across_zero_is_called_no_lift_though_the_mean_rose() -> None:
    sentence = headline(ledger(with_=0.1, ci95=(-0.002, 0.012)))
    assert sentence.startswith("No lift is shown")
    assert "lifts" not in sentence
    assert "may be chance" in sentence


def test_an_interval_that_touches_zero_is_no_lift() -> None:
    assert headline(ledger(with_=0.1, ci95=(0.0, 0.012))).startswith("No lift is shown")


def test_a_loss_is_told_as_a_loss() -> None:
    assert headline(ledger(with_=0.08, ci95=(-0.02, -0.01))).startswith("The match score lowers NDCG@10")


def test_remarks_tell_the_best_baseline_the_harmed_slices_and_the_retrieval() -> None:
    told = remarks(ledger())
    assert told == [
        "The ranker with match stands 75% above the best other row, covisitation (0.142).",
        "The match score does harm on: old items.",
        "The retrieval's recall@200 is 0.712: an item that is not retrieved cannot be ranked.",
    ]


def test_a_baseline_that_stands_above_the_ranker_is_told() -> None:
    assert "stands 30% below the best other row" in remarks(ledger(with_=0.1))[0]


# The page


def test_the_page_tells_data_windows_figures_examples_and_how_to_do_it_again() -> None:
    text = Page(plain_page()).text
    for told in (
        headline(ledger()),
        "2,995",
        "2025-08-09",
        "LightGBM on counters and co-visitation",
        "0.142",
        "277 positives",
        "too few users",
        "builds on libssl-dev",
        "+0.41",
        "\N{MINUS SIGN}0.03",
        "and 8 more",
        "nothing yet",
        "recmem train --items items.parquet",
        "ab12cd34",
        "9f2c1e77aa01bb34",
    ):
        assert told in text, told


def test_the_page_fetches_nothing_and_runs_nothing() -> None:
    page = Page(plain_page())
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes)
        assert not any((attributes.get(name) or "#").startswith("http") for name in ("src", "href", "xlink:href"))


def test_texts_of_the_data_are_escaped_everywhere_and_come_out_as_they_were() -> None:
    html = render_report(ledger(), content(NASTY))
    page = Page(html)
    assert "<script" not in html
    assert "49" not in re.findall(r"Žluťoučký.{0,60}", page.text)[0]
    assert page.text.count(NASTY) >= 10


def test_a_report_with_nothing_beside_the_ledger_leaves_its_sections_out() -> None:
    bare = replace(ledger(), slices={}, retrieval={})
    text = Page(render_report(bare, ReportContent(title="bare", data={}))).text
    assert "Results" in text
    for absent in ("Where it helps", "What it recommends", "What the ranker relies on", "How it learned", "Parameters"):
        assert absent not in text


def test_impressions_are_told_as_impressions() -> None:
    shown = replace(ledger(), protocol=replace(ledger().protocol, candidates="impressions"))
    text = Page(render_report(shown, content())).text
    assert "1,386 impressions" in text
    assert "whole catalogue" not in text


def test_an_undefined_figure_is_a_dash() -> None:
    rows = (Row("popularity", {"ndcg@10": 0.1, "auc": float("nan")}), *ledger().rows)
    html = render_report(replace(ledger(), rows=rows), content())
    assert '<td class="n">\N{EN DASH}</td>' in html
    assert "nan" not in Page(html).text


def test_the_same_run_gives_the_same_page() -> None:
    assert render_report(ledger(), content()) == plain_page()


# Figures

FIGURES: dict[str, Callable[[], Figure]] = {
    "lift": lambda: plots.lift_figure(ledger()),
    "slices": lambda: plots.slices_figure(ledger()),
    "importance": lambda: plots.importance_figure({NASTY: 3.0, "match_score": 1.0}, match_features={"match_score"}),
    "curves": lambda: plots.curves_figure([Panel(NASTY, "epoch", "loss", {NASTY: [3.0, 2.0]})]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_well_formed_svg_that_a_page_can_recolour(name: str) -> None:
    svg = plots.to_svg(FIGURES[name]())
    assert ElementTree.fromstring(svg.replace("xlink:", "")).tag.endswith("svg")
    assert "var(--ink, #1c2330)" in svg
    assert "var(--match, #0072b2)" in svg


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_png(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plots.to_png(FIGURES[name](), dpi=50).startswith(b"\x89PNG")


def widths(axes: Axes) -> list[float]:
    return [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]


def test_bars_are_as_long_as_the_figures_and_in_their_order() -> None:
    bars = plots.lift_figure(ledger()).axes[0]
    assert widths(bars) == [0.095, 0.142, 0.249]
    assert [label.get_text() for label in bars.get_yticklabels()] == [
        "ranker_without_match",
        "covisitation",
        "ranker_with_match",
    ]


def test_a_forest_shows_each_interval_where_it_lies_and_by_its_sign() -> None:
    axes = plots.slices_figure(ledger()).axes[0]
    spans = {tuple(np.asarray(line.get_xdata()).tolist()): line.get_color() for line in axes.lines}
    assert spans[(0.1, 0.2)] == plots.MATCH
    assert spans[(-0.15, -0.05)] == plots.LOSS
    assert (-1.0, 1.0) not in spans
    assert axes.get_xlim()[0] > -0.5


def test_a_dollar_in_a_column_name_is_no_formula() -> None:
    svg = plots.to_svg(plots.importance_figure({"price $x_1$": 1.0}))
    assert "price $x_1$" in "".join(ElementTree.fromstring(svg).itertext())


def test_importance_is_told_as_shares_of_the_whole() -> None:
    axes = plots.importance_figure({"a": 6.0, "b": 3.0, "c": 1.0}, n_columns=2).axes[0]
    close(widths(axes), [0.3, 0.6], "float64")


def test_labels_of_curves_that_end_together_do_not_overlap() -> None:
    axes = plots.curves_figure([Panel("p", "step", "y", {"one": [0.0, 1.0], "two": [0.0, 1.0]})]).axes[0]
    one, two = (text.xy[1] for text in axes.texts)  # type: ignore[attr-defined]
    assert abs(one - two) >= 0.09


def test_drawing_leaves_the_global_state_of_matplotlib_alone() -> None:
    before = dict(mpl.rcParams)
    for figure in FIGURES.values():
        plots.to_svg(figure())
    assert dict(mpl.rcParams) == before
