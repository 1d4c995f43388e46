"""Cuts of the log in time: the match module learns before the ranker's windows, the test lies after all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_store import DataError
from feature_store.arrays import Float64Array, IntArray


@dataclass(frozen=True)
class SplitConfig:
    """Shares of the events that lie before each cut."""

    ranker_from: float = 0.7
    """The ranker's windows begin after the first moment by which this share of the events has happened."""
    test_from: float = 0.9
    """The test begins after the first moment by which this share of the events has happened."""
    windows: int = 4
    """Windows that the ranker is fitted on, each with item-item models as of its beginning."""

    def __post_init__(self) -> None:
        if not 0 < self.ranker_from < self.test_from < 1:
            raise ValueError(
                f"ranker_from, test_from: expected 0 < ranker_from < test_from < 1, got {self.ranker_from}, "
                f"{self.test_from}. Give shares of the events."
            )
        if self.windows < 1:
            raise ValueError(f"windows: expected at least 1, got {self.windows}. Give the number of ranker windows.")


@dataclass(frozen=True)
class Split:
    """PastQueries in microseconds; each part holds what happened after its begin and up to its end."""

    ranker_from: int
    """End of the match module's first period, begin of the ranker's windows."""
    test_from: int
    """End of the ranker's windows, begin of the test."""
    refresh: int
    """Length of a ranker window: the item-item models are refitted this often, from `ranker_from` on."""


def split_times(times: IntArray, config: SplitConfig) -> Split:
    """Cuts between distinct moments (microseconds, one per event or showing) that leave no part empty.

    Raises DataError when there are fewer than three distinct moments.
    """
    moments, counts = np.unique(times, return_counts=True)
    if len(moments) < 3:
        raise DataError(
            f"events.timestamp: expected at least 3 distinct moments, got {len(moments)}. "
            "A part to learn from, a part to fit the ranker on and a test part are cut from the log by time."
        )
    share = np.cumsum(counts) / counts.sum()
    test = min(_first(share, config.test_from), len(moments) - 2)
    test = max(test, 1)
    ranker = min(_first(share, config.ranker_from), test - 1)
    begin, end = int(moments[ranker]), int(moments[test])
    return Split(ranker_from=begin, test_from=end, refresh=max(-(-(end - begin) // config.windows), 1))


def _first(share: Float64Array, wanted: float) -> int:
    # The shares are sums of counts over a total: allow for rounding at an exact hit.
    return int(np.searchsorted(share, wanted - 1e-12, side="left"))
