"""Figures of a run: lift, slices, column importance, learning curves. No pyplot, so no global state.

Colours are Okabe and Ito's, which colour-blind readers tell apart; what matters is labelled where it stands, without a
legend. `to_svg` writes the colours as CSS variables with the printed colour as fallback: a page may set its own.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from training.evaluation.intervals import UNKNOWN_INTERVAL
from training.evaluation.ledger import HEADLINE_METRIC, WITH_MATCH, WITHOUT_MATCH, Interval, Ledger
from training.evaluation.staleness_cost import DELAYS, STALE_PARTS, StalenessCost

INK, MUTED, GRID, BAR, SURFACE = "#1c2330", "#667084", "#dde2ea", "#c3cad6", "#fffffe"
MATCH, WITHOUT, LOSS = "#0072b2", "#8a93a3", "#d55e00"
CURVES = (MATCH, LOSS, "#009e73", "#cc79a7")

CSS_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    BAR: "--bar",
    SURFACE: "--surface",
    MATCH: "--match",
    WITHOUT: "--without",
    LOSS: "--loss",
}
"""The colours that a page may set, by the CSS variable that `to_svg` writes."""

_WIDTH_IN = 7.4
_ROW_IN = 0.3
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "text.parse_math": False,  # a column may be called "price in $"
    "svg.fonttype": "none",
    "svg.hashsalt": "recmem",
}


@dataclass(frozen=True)
class Panel:
    """One plot of learning curves: named lines over steps 1, 2, ... (`first` where they begin elsewhere)."""

    title: str
    x_label: str
    y_label: str
    curves: Mapping[str, Sequence[float]]
    first: int = 1


# Figures


def lift_figure(ledger: Ledger, *, metric: str = HEADLINE_METRIC) -> Figure:
    """All rows by `metric`, and below them what the match score adds to each metric with its 95% interval."""
    rows = sorted((row for row in ledger.rows if metric in row.metrics), key=lambda row: _or_zero(row.metrics[metric]))
    names, values = [row.name for row in rows], [_or_zero(row.metrics[metric]) for row in rows]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, _ROW_IN * (len(rows) + len(ledger.lift)) + 1.5), layout="constrained")
        bars, forest = figure.subplots(2, 1, height_ratios=[len(rows) + 1, len(ledger.lift) + 1])
        colours = {WITH_MATCH: MATCH, WITHOUT_MATCH: WITHOUT}
        _bars(bars, names, values, [colours.get(name, BAR) for name in names], [f"{value:.3f}" for value in values])
        _title(bars, f"{metric.upper()} of each ranking")
        shown = {metric: ledger.lift[metric] for metric in reversed(list(ledger.lift))}
        _forest(forest, [name.upper() for name in shown], [(lift.difference, lift.ci95) for lift in shown.values()])
        _title(forest, "What the match score adds to the ranker, with 95% intervals")
    return figure


def slices_figure(ledger: Ledger) -> Figure:
    """With minus without for each slice, with its 95% interval; a slice of another metric than NDCG@10 names it."""
    shown = {name: ledger.slices[name] for name in reversed(list(ledger.slices))}
    labels = [
        name if part.metric == HEADLINE_METRIC else f"{name} ({part.metric.upper()})" for name, part in shown.items()
    ]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, _ROW_IN * max(len(shown), 1) + 0.9), layout="constrained")
        axes = figure.subplots()
        _forest(axes, labels, [(part.difference, part.ci95) for part in shown.values()])
        _title(axes, f"What the match score adds to {HEADLINE_METRIC.upper()}, by slice")
    return figure


def importance_figure(
    importance: Mapping[str, float], *, match_features: Collection[str] = (), n_columns: int = 20
) -> Figure:
    """The `n_columns` columns that gave the ranker most gain, as shares of all gain; match columns stand out."""
    total = sum(importance.values()) or 1.0
    shares = sorted(((value / total, name) for name, value in importance.items()), reverse=True)[:n_columns][::-1]
    names, values = [name for _, name in shares], [share for share, _ in shares]
    colours = [MATCH if name in match_features else BAR for name in names]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, _ROW_IN * max(len(names), 1) + 0.7), layout="constrained")
        axes = figure.subplots()
        _bars(axes, names, values, colours, [f"{value:.1%}" for value in values])
        _title(axes, "Share of the ranker's gain by column")
    return figure


def curves_figure(panels: Sequence[Panel]) -> Figure:
    """Learning curves, two panels a row."""
    n_columns = min(2, max(len(panels), 1))
    n_rows = -(-max(len(panels), 1) // n_columns)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, 2.5 * n_rows), layout=ConstrainedLayoutEngine(wspace=0.08, hspace=0.08))
        grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            _curves(axes, panel)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
    return figure


def staleness_figure(found: StalenessCost) -> Figure:
    """What each delay costs, with its 95% interval: one panel for each part that is stale."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, (_ROW_IN * len(DELAYS) + 0.9) * len(STALE_PARTS)), layout="constrained")
        panels = figure.subplots(len(STALE_PARTS), 1, sharex=True)
        for axes, stale in zip(panels, STALE_PARTS, strict=True):
            costs = [cost for cost in reversed(found.costs) if cost.stale == stale]
            names = [f"{cost.delay} old" for cost in costs]
            _forest(axes, names, [(cost.difference, cost.ci95) for cost in costs])
            _title(axes, f"Stale {stale}: {HEADLINE_METRIC.upper()} against {found.fresh:.3f} when fresh")
        # The panels share their axis, so that it spans the widest of them.
        panels[0].set_xlim(*_forest_limits([(cost.difference, cost.ci95) for cost in found.costs]))
    return figure


# Writing


def to_svg(figure: Figure) -> str:
    """The figure as an `<svg>` element to stand inside HTML: text stays text, colours are CSS variables."""
    buffer = io.StringIO()
    with mpl.rc_context(_STYLE), _without_glyph_warnings():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, variable in CSS_VARIABLES.items():
        svg = svg.replace(colour, f"var({variable}, {colour})")
    return svg


def to_png(figure: Figure, *, dpi: int = 160) -> bytes:
    """The figure as a PNG on white."""
    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE), _without_glyph_warnings():
        figure.savefig(buffer, format="png", dpi=dpi, facecolor="white")
    return buffer.getvalue()


@contextmanager
def _without_glyph_warnings() -> Iterator[None]:
    """Column names may be in any script; a glyph that the measuring font lacks is no fault of the run."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


# Parts


def _bars(
    axes: Axes, names: Sequence[str], values: Sequence[float], colours: Sequence[str], labels: Sequence[str]
) -> None:
    places = np.arange(len(names))
    axes.barh(places, values, color=colours, height=0.68)
    for place, value, label in zip(places.tolist(), values, labels, strict=True):
        axes.annotate(label, (value, place), xytext=(5, 0), textcoords="offset points", va="center", color=INK)
    axes.set_yticks(places, names)
    axes.set_xticks([])
    axes.set_xlim(0, max([*values, 1e-9]) * 1.12)
    _bare(axes)


def _forest(axes: Axes, names: Sequence[str], found: Sequence[tuple[float, Interval]]) -> None:
    """Points with intervals against a line at zero: blue where the interval is above it, orange below, grey across."""
    places = np.arange(len(names))
    axes.axvline(0, color=MUTED, linewidth=1)
    for place, (difference, (low, high)) in zip(places, found, strict=True):
        colour = MATCH if low > 0 else LOSS if high < 0 else WITHOUT
        if (low, high) != UNKNOWN_INTERVAL:
            axes.plot([low, high], [place, place], color=colour, linewidth=2.4, solid_capstyle="round")
        axes.plot([difference], [place], "o", color=colour, markersize=6.5, markeredgecolor=SURFACE)
        interval = "too few users" if (low, high) == UNKNOWN_INTERVAL else f"{low:+.3f} to {high:+.3f}"
        words = "not defined" if np.isnan(difference) else f"{difference:+.3f}  ({interval})"
        axes.annotate(words, (1.02, place), xycoords=axes.get_yaxis_transform(), va="center", color=INK)
    axes.set_xlim(*_forest_limits(found))
    axes.set_yticks(places, names)
    axes.set_ylim(-0.6, max(len(names), 1) - 0.4)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(lambda value, _: "0" if abs(value) < 1e-12 else f"{value:+.3g}")
    _bare(axes)


def _forest_limits(found: Sequence[tuple[float, Interval]]) -> Interval:
    known = [end for difference, ends in found for end in (difference, *(ends if ends != UNKNOWN_INTERVAL else ()))]
    low, high = min([0.0, *np.nan_to_num(known)]), max([0.0, *np.nan_to_num(known)])
    margin = 0.06 * (high - low) or 0.01
    return low - margin, high + margin


def _curves(axes: Axes, panel: Panel) -> None:
    ends: list[tuple[float, str, str]] = []
    for (name, values), colour in zip(panel.curves.items(), np.resize(CURVES, len(panel.curves)), strict=True):
        steps = np.arange(panel.first, panel.first + len(values))
        marker = "o" if len(values) <= 30 else ""
        axes.plot(steps, values, color=str(colour), linewidth=1.9, marker=marker, markersize=3.5)
        if len(values):
            ends.append((float(values[-1]), name, str(colour)))
    for height, (_, name, colour) in zip(_apart([end for end, _, _ in ends], axes), ends, strict=True):
        axes.annotate(name, (1.02, height), xycoords="axes fraction", va="center", color=colour, fontsize=8.5)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.locator_params(axis="x", integer=True, nbins=6)
    _title(axes, panel.title)
    _bare(axes)


def _apart(values: Sequence[float], axes: Axes, *, gap: float = 0.1) -> list[float]:
    """Heights (share of the axes) of labels at these values, moved up where two would overlap."""
    low, high = axes.get_ylim()
    heights = [0.0] * len(values)
    floor = -np.inf
    for place in sorted(range(len(values)), key=lambda index: values[index]):
        height = (values[place] - low) / (high - low) if np.isfinite(values[place]) else 0.5
        heights[place] = floor = max(height, floor + gap)
    return heights


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10.5, fontweight="bold", color=INK, pad=9)


def _bare(axes: Axes) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _or_zero(value: float) -> float:
    return 0.0 if np.isnan(value) else value
