"""The figures of a run as MLflow gets them: rankings, slices, feature importance, learning curves, staleness."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from rich.cells import cell_len, set_cell_size

from training.evaluation.ledger import HEADLINE_METRIC, WITH_MATCH, WITHOUT_MATCH, Ledger
from training.evaluation.staleness_cost import DELAYS, STALE_PARTS, StalenessCost
from training.report.charts import (
    BAR,
    MATCH,
    STYLE,
    WITHOUT,
    Panel,
    bar_chart,
    curve_chart,
    forest_chart,
    forest_limits,
    set_title,
)
from training.report.content import MOST_IMPORTANT, most_important
from training.report.labels import ROW_LABELS, metric_label, row_label
from training.report.slice_rows import SliceRow, slices_by_metric

_WIDTH_IN = 7.4
_NARROW_IN = 4.8
_LONGEST_NAME = 40
"""In widths of a letter."""
_ROW_IN = 0.3
"""Height of a bar or an interval."""
_COLOUR_OF_ROW = {WITH_MATCH: MATCH, WITHOUT_MATCH: WITHOUT}


def rankings_figure(ledger: Ledger, *, metric: str = HEADLINE_METRIC) -> Figure:
    """All rows by `metric`, the best at the top."""
    figures = {row.name: _zero_if_undefined(row.metrics[metric]) for row in ledger.rows if metric in row.metrics}
    # Charts are drawn from the bottom up: the best row last.
    names = sorted(figures, key=lambda name: figures[name])
    values = [figures[name] for name in names]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_IN, _ROW_IN * max(len(names), 1) + 0.7), layout="constrained")
        axes = figure.subplots()
        bar_chart(
            axes,
            [row_label(name) for name in names],
            values,
            [_COLOUR_OF_ROW.get(name, BAR) for name in names],
            [f"{value:.3f}" for value in values],
        )
        set_title(axes, f"{metric_label(metric)} of each ranking")
    return figure


def slices_figures(ledger: Ledger) -> dict[str, Figure]:
    """The lift on each slice, with its 95% interval: a figure for each metric."""
    return {metric: _slices_figure(metric, rows) for metric, rows in slices_by_metric(ledger.slices).items()}


def _slices_figure(metric: str, rows: Sequence[SliceRow]) -> Figure:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_IN, _ROW_IN * len(rows) + 0.9), layout="constrained")
        axes = figure.subplots()
        # Charts are drawn from the bottom up.
        upwards = list(reversed(rows))
        differences = [(row.part.difference, row.part.ci95) for row in upwards]
        forest_chart(axes, [row.label for row in upwards], differences)
        set_title(axes, f"Lift of {metric_label(metric)} by slice, with 95% intervals")
    return figure


def importance_figure(
    importance: Mapping[str, float], *, text_features: Collection[str] = (), n_features: int = MOST_IMPORTANT
) -> Figure:
    """The `n_features` most important features of the ranker, as shares of all importance; text features stand out."""
    shares = dict(reversed(most_important(importance, n_features).items()))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_IN, _ROW_IN * max(len(shares), 1) + 0.7), layout="constrained")
        axes = figure.subplots()
        bar_chart(
            axes,
            [_shortened(name) for name in shares],
            list(shares.values()),
            [MATCH if name in text_features else BAR for name in shares],
            [f"{share:.1%}" for share in shares.values()],
        )
        set_title(axes, "Feature importance in the ranker that ships")
    return figure


def curve_figure(panel: Panel) -> Figure:
    """The learning curves of one panel, narrow enough for a phone."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_NARROW_IN, 2.6), layout="constrained")
        curve_chart(figure.subplots(), panel, labels=ROW_LABELS, colours=_COLOUR_OF_ROW)
    return figure


def curves_figure(panels: Sequence[Panel]) -> Figure:
    """Learning curves, two panels side by side; curves of ledger rows have their labels and colours."""
    n_panels = max(len(panels), 1)
    n_columns = min(2, n_panels)
    n_rows = math.ceil(n_panels / n_columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(_WIDTH_IN, 2.5 * n_rows), layout=ConstrainedLayoutEngine(wspace=0.08, hspace=0.08))
        grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            curve_chart(axes, panel, labels=ROW_LABELS, colours=_COLOUR_OF_ROW)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
    return figure


def staleness_figure(found: StalenessCost) -> Figure:
    """What each delay costs, with its 95% interval: one panel for each part that is stale."""
    metric = metric_label(HEADLINE_METRIC)
    with mpl.rc_context(STYLE):
        height = (_ROW_IN * len(DELAYS) + 0.9) * len(STALE_PARTS)
        figure = Figure(figsize=(_WIDTH_IN, height), layout="constrained")
        panels = figure.subplots(len(STALE_PARTS), 1, sharex=True)
        for axes, part in zip(panels, STALE_PARTS, strict=True):
            costs = [cost for cost in reversed(found.costs) if cost.stale == part]
            names = [f"{cost.delay} old" for cost in costs]
            forest_chart(axes, names, [(cost.difference, cost.ci95) for cost in costs])
            set_title(axes, f"Stale {part}: change of {metric}, which is {found.fresh:.3f} with fresh features")
        # The panels share their axis, so that it spans the widest of them.
        panels[0].set_xlim(*forest_limits([(cost.difference, cost.ci95) for cost in found.costs]))
    return figure


def _shortened(name: str) -> str:
    """A feature's name with its middle left out, if it would leave no room for the bars: columns have any name."""
    if cell_len(name) <= _LONGEST_NAME:
        return name
    half = _LONGEST_NAME // 2
    # Chinese characters are twice as wide as letters.
    begin = set_cell_size(name, half).rstrip()
    end = set_cell_size(name[::-1], half).rstrip()[::-1]
    return f"{begin}…{end}"


def _zero_if_undefined(value: float) -> float:
    return 0.0 if math.isnan(value) else value
