"""Where the log is cut for cross-fitting: the times up to which one match module after the other learns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_store import DataError
from feature_store.arrays import IntArray
from training.splits import SHARE_TOLERANCE

FEWEST_TIMES = 3
"""The first module learns up to one, is calibrated up to the next, and the rows up to the last get features."""


@dataclass(frozen=True)
class FoldConfig:
    """How the log is cut."""

    folds: int = 5
    """Windows whose rows get match features; each has a match module that has learned from everything before it."""
    first_until: float = 0.4
    """Share of the events that the first module learns from. A window more follows, which only calibrates it."""

    def __post_init__(self) -> None:
        if isinstance(self.folds, bool) or not isinstance(self.folds, int) or self.folds < 1:
            raise ValueError(f"folds: expected a whole number of at least 1, got {self.folds!r}. Try 5.")
        if not 0 < self.first_until < 1:
            raise ValueError(f"first_until: expected more than 0 and less than 1, got {self.first_until}. Try 0.4.")


def cut_times(times: IntArray, config: FoldConfig) -> IntArray:
    """The times at which the log is cut, in microseconds, ascending; the last is the last of the log.

    The match modules learn up to these times, the first of them included: rows after a cut are scored by the module
    that has learned up to it. Cuts fall on times of the log, so that rows that share a time are in one window; a log of
    few distinct times is cut at fewer. `times` has an entry per event or row shown.

    Raises DataError if there are fewer than three distinct times.
    """
    distinct, counts = np.unique(times, return_counts=True)
    if len(distinct) < FEWEST_TIMES:
        raise DataError(
            f"events.timestamp: expected at least {FEWEST_TIMES} distinct timestamps, got {len(distinct)}. One part "
            "of the log is learned from, one calibrates, one gets features. Give a log with events at more times."
        )
    # Share of the log up to and including each distinct time.
    share = np.cumsum(counts) / counts.sum()
    wanted = np.linspace(config.first_until, 1, config.folds + 2)
    last = len(distinct) - 1
    # Room for two more cuts is left, however much of the log has the first times.
    places = [min(int(np.searchsorted(share, wanted[0] - SHARE_TOLERANCE)), last - 2)]
    for part in wanted[1:-1]:
        place = max(int(np.searchsorted(share, part - SHARE_TOLERANCE)), places[-1] + 1)
        if place >= last:
            break
        places.append(place)
    if len(places) == 1:
        places.append(last - 1)
    cuts: IntArray = distinct[[*places, last]].astype(np.int64)
    return cuts
