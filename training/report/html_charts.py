"""Charts that are drawn with CSS alone, so that they fit any width, print, and follow a dark page.

All places and lengths are in percent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.evaluation.intervals import UNKNOWN_INTERVAL
from training.evaluation.ledger import Interval
from training.report.charts import forest_limits


@dataclass(frozen=True)
class IntervalMark:
    """Where zero, a difference and its interval lie on an axis from 0 to 100."""

    zero: float
    dot: float | None
    """None if the difference is not defined."""
    low: float | None
    """None if the interval is unknown."""
    width: float = 0.0


def interval_marks(differences: Mapping[str, tuple[float, Interval]]) -> dict[str, IntervalMark]:
    """The marks of differences that share one axis: it holds zero, all of them and their known intervals."""
    begin, end = forest_limits(list(differences.values()))

    def place(value: float) -> float:
        return round(100 * (value - begin) / (end - begin), 2)

    marks = {}
    for name, (difference, interval) in differences.items():
        dot = None if math.isnan(difference) else place(difference)
        low, high = interval
        known = interval != UNKNOWN_INTERVAL and not math.isnan(low + high)
        width = round(place(high) - place(low), 2) if known else 0.0
        marks[name] = IntervalMark(place(0.0), dot, place(low) if known else None, width)
    return marks


def bar_lengths(values: Sequence[float]) -> list[float]:
    """The lengths of bars of these sizes: the largest has 100; 0 for a value that is not defined."""
    sizes = [0.0 if math.isnan(value) else abs(value) for value in values]
    largest = max(sizes, default=0.0) or 1.0
    return [round(100 * size / largest, 2) for size in sizes]
