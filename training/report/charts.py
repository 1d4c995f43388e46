"""Kinds of charts, drawn into given axes: bars, differences with intervals, learning curves. No global state.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; lines and points are labelled in place, without
a legend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from training.evaluation.intervals import UNKNOWN_INTERVAL
from training.evaluation.ledger import Interval

INK = "#1c2330"
MUTED = "#667084"
GRID = "#dde2ea"
BAR = "#c3cad6"
SURFACE = "#fffffe"
MATCH = "#0072b2"
WITHOUT = "#8a93a3"
LOSS = "#d55e00"
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
"""Colours that a page may set, and the CSS variable of each; in an SVG the printed colour is the fallback."""

STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "text.parse_math": False,  # a feature may be called "price in $"
    "svg.fonttype": "none",
    "svg.hashsalt": "recmem",
}

_MARKERS_UP_TO = 30
"""Curves with more points than this are drawn without markers."""


@dataclass(frozen=True)
class Panel:
    """One plot of learning curves: named lines over steps `first`, `first` + 1, ..."""

    title: str
    x_label: str
    y_label: str
    curves: Mapping[str, Sequence[float]]
    first: int = 1


def bar_chart(
    axes: Axes, names: Sequence[str], values: Sequence[float], colours: Sequence[str], labels: Sequence[str]
) -> None:
    """Horizontal bars from the bottom up, each with its label at its end."""
    places = np.arange(len(names))
    axes.barh(places, values, color=colours, height=0.68)
    for place, value, label in zip(places.tolist(), values, labels, strict=True):
        axes.annotate(label, (value, place), xytext=(5, 0), textcoords="offset points", va="center", color=INK)
    axes.set_yticks(places, names)
    axes.set_xticks([])
    axes.set_ylim(*_rows_limits(len(names)))
    axes.set_xlim(0, max([*values, 1e-9]) * 1.12)
    _without_frame(axes)


def forest_chart(axes: Axes, names: Sequence[str], differences: Sequence[tuple[float, Interval]]) -> None:
    """Differences with intervals beside a line at zero: blue for an interval above it, orange below, else grey."""
    places = np.arange(len(names))
    axes.axvline(0, color=MUTED, linewidth=1)
    for place, (difference, interval) in zip(places.tolist(), differences, strict=True):
        colour = _colour_of(interval)
        if interval != UNKNOWN_INTERVAL:
            axes.plot(interval, [place, place], color=colour, linewidth=2.4, solid_capstyle="round")
        axes.plot([difference], [place], "o", color=colour, markersize=6.5, markeredgecolor=SURFACE)
        # At the right edge of the axes, whatever the scale.
        position = (1.02, place)
        axes.annotate(
            _forest_label(difference, interval), position, xycoords=axes.get_yaxis_transform(), va="center", color=INK
        )
    axes.set_xlim(*forest_limits(differences))
    axes.set_yticks(places, names)
    axes.set_ylim(*_rows_limits(len(names)))
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(lambda value, _: "0" if abs(value) < 1e-12 else f"{value:+.3g}")
    _without_frame(axes)


def forest_limits(differences: Sequence[tuple[float, Interval]]) -> Interval:
    """The x axis that holds zero and all differences with their known intervals, and a margin."""
    ends = [0.0]
    for difference, interval in differences:
        ends.append(difference)
        if interval != UNKNOWN_INTERVAL:
            ends.extend(interval)
    defined = np.nan_to_num(ends)
    low = float(defined.min())
    high = float(defined.max())
    margin = 0.06 * (high - low) or 0.01
    return low - margin, high + margin


def curve_chart(axes: Axes, panel: Panel, *, labels: Mapping[str, str], colours: Mapping[str, str]) -> None:
    """The curves of a panel, each labelled at its end; curves in `labels` and `colours` get those."""
    last_points: list[tuple[float, str, str]] = []
    for (name, values), next_colour in zip(panel.curves.items(), cycle(CURVES), strict=False):
        colour = colours.get(name, next_colour)
        steps = np.arange(panel.first, panel.first + len(values))
        marker = "o" if len(values) <= _MARKERS_UP_TO else ""
        axes.plot(steps, values, color=colour, linewidth=1.9, marker=marker, markersize=3.5)
        if len(values):
            last_points.append((float(values[-1]), labels.get(name, name), colour))
    heights = _heights_apart([value for value, _, _ in last_points], axes)
    for height, (_, label, colour) in zip(heights, last_points, strict=True):
        axes.annotate(label, (1.02, height), xycoords="axes fraction", va="center", color=colour, fontsize=8.5)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.locator_params(axis="x", integer=True, nbins=6)
    set_title(axes, panel.title)
    _without_frame(axes)


def set_title(axes: Axes, text: str) -> None:
    """A bold title above the left edge."""
    axes.set_title(text, loc="left", fontsize=10.5, fontweight="bold", color=INK, pad=9)


def _rows_limits(n_rows: int) -> tuple[float, float]:
    """The y axis of rows at 0, 1, ... with a little space at both ends."""
    return -0.6, max(n_rows, 1) - 0.4


def _colour_of(interval: Interval) -> str:
    low, high = interval
    if low > 0:
        return MATCH
    return LOSS if high < 0 else WITHOUT


def _forest_label(difference: float, interval: Interval) -> str:
    if np.isnan(difference):
        return "not defined"
    low, high = interval
    words = "too few users" if interval == UNKNOWN_INTERVAL else f"{low:+.3f} to {high:+.3f}"
    return f"{difference:+.3f}  ({words})"


def _heights_apart(values: Sequence[float], axes: Axes, *, gap: float = 0.1) -> list[float]:
    """Heights (share of the axes) of labels at these values, moved up where two would overlap."""
    low, high = axes.get_ylim()
    heights = [0.0] * len(values)
    lowest_free = -np.inf
    for index in sorted(range(len(values)), key=lambda index: values[index]):
        wanted = (values[index] - low) / (high - low) if np.isfinite(values[index]) else 0.5
        heights[index] = max(wanted, lowest_free)
        lowest_free = heights[index] + gap
    return heights


def _without_frame(axes: Axes) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
