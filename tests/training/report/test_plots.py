"""What each figure of a report draws."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from example_report import ledger
from tolerances import close
from training.report import charts, plots
from training.report.charts import Panel


def widths(axes: Axes) -> list[float]:
    return [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]


def test_bars_are_as_long_as_the_figures_and_in_their_order() -> None:
    bars = plots.rankings_figure(ledger()).axes[0]
    assert widths(bars) == [0.095, 0.142, 0.249]
    assert [label.get_text() for label in bars.get_yticklabels()] == [
        "ranker without text features",
        "co-visitation",
        "ranker with text features",
    ]


def test_each_figure_of_slices_has_one_metric() -> None:
    figures = plots.slices_figures(ledger())
    labels = {
        metric: [text.get_text() for text in figure.axes[0].get_yticklabels()] for metric, figure in figures.items()
    }
    assert labels == {"ndcg@10": ["one user", "older items", "users, 1-5 events"], "recall@10": ["cold items"]}


def test_a_forest_shows_each_interval_where_it_lies_and_by_its_sign() -> None:
    axes = plots.slices_figures(ledger())["ndcg@10"].axes[0]
    spans = {tuple(np.asarray(line.get_xdata()).tolist()): line.get_color() for line in axes.lines}
    assert spans[(0.1, 0.2)] == charts.MATCH
    assert spans[(-0.15, -0.05)] == charts.LOSS
    assert (-1.0, 1.0) not in spans
    assert axes.get_xlim()[0] > -0.5


def test_importance_is_drawn_as_shares_of_the_whole() -> None:
    axes = plots.importance_figure({"a": 6.0, "b": 3.0, "c": 1.0}, n_features=2).axes[0]
    close(widths(axes), [0.3, 0.6], "float64")


def test_a_long_name_of_a_feature_leaves_room_for_the_bars() -> None:
    names = {f"items.{'x' * 5000}1": 2.0, "items.price [EUR]": 1.0, "y" * 40: 0.5}
    labels = [text.get_text() for text in plots.importance_figure(names).axes[0].get_yticklabels()]
    assert labels == ["y" * 40, "items.price [EUR]", f"items.{'x' * 14}…{'x' * 19}1"]


def test_a_long_name_in_chinese_is_cut_at_half_as_many_characters() -> None:
    names = {"价" * 30: 2.0, "格" * 20: 1.0}
    labels = [text.get_text() for text in plots.importance_figure(names).axes[0].get_yticklabels()]
    assert labels == ["格" * 20, f"{'价' * 10}…{'价' * 10}"]


def test_the_curves_of_both_rankers_have_their_labels_and_the_colours_of_their_bars() -> None:
    curves = {"ranker_without_match": [0.1, 0.2], "ranker_with_match": [0.2, 0.4], "validation": [0.3, 0.3]}
    axes = plots.curves_figure([Panel("Rankers", "boosting round", "NDCG@10", curves)]).axes[0]
    assert [text.get_text() for text in axes.texts] == [
        "ranker without text features",
        "ranker with text features",
        "validation",
    ]
    assert [line.get_color() for line in axes.lines] == [charts.WITHOUT, charts.MATCH, charts.CURVES[2]]
