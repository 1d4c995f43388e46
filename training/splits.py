"""Splits of the log in time: the match module's period, then the ranker's windows, then the test period."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import floor

import numpy as np

from feature_store import DataError
from feature_store.arrays import Float64Array, IntArray
from feature_store.point_in_time.read_protocol import END_OF_TIME
from feature_store.settings import check_settings, setting

FEWEST_TIMES = 3
"""One for each part."""
SHARE_TOLERANCE = 1e-12
"""Shares are sums of counts over a total, so one that should equal the wanted share may be rounded below it."""

EARLIEST_TEST = 0.3
"""The first fold's test begins no earlier: what it learns from would be too short a log."""
ROUNDING = 1e-9


@dataclass(frozen=True)
class SplitConfig:
    """How the log is split in time, by the shares of the events that lie before each split."""

    ranker_from: float = setting(0.7, above=0, below=1)
    """The ranker's windows begin after the first time by which this share of the events has happened. Where there are
    impressions, shares are those of the items shown; but the windows begin earlier if the match module has its share of
    the events before."""
    test_from: float = setting(0.9, above=0, below=1)
    """The test period begins after the first time by which this share of the events has happened."""
    test_until: float = setting(1.0, above=0, high=1)
    """The test period ends with the first time by which this share of the events has happened; 1 for the log's end."""
    windows: int = setting(4, low=1, high=1000)
    """Windows that the ranker is fitted on; the item-item models are refitted at the start of each."""

    def __post_init__(self) -> None:
        check_settings(self, self._conflicts)

    def _conflicts(self) -> Iterator[str]:
        if not self.ranker_from < self.test_from:
            yield (
                f"ranker_from: expected less than test_from ({self.test_from}), got {self.ranker_from}. "
                "Give shares of the events."
            )
        if not self.test_from < self.test_until:
            yield (
                f"test_until: expected more than test_from ({self.test_from}), got {self.test_until}. "
                "Give shares of the events."
            )


@dataclass(frozen=True)
class Split:
    """Times in microseconds. Each part holds the events after its begin, up to and including its end."""

    ranker_from: int
    """End of the match module's first period, begin of the ranker's windows."""
    test_from: int
    """End of the ranker's windows, begin of the test period."""
    refresh: int
    """Length of a ranker window: the item-item models are refitted this often, from `ranker_from` on."""
    test_until: int = END_OF_TIME
    """End of the test period; what comes after it is not used."""


def split_times(times: IntArray, config: SplitConfig) -> Split:
    """Splits between distinct times such that no part is empty; `times` has one entry per event or impression row.

    Raises DataError if there are fewer than three distinct times.
    """
    distinct, counts = np.unique(times, return_counts=True)
    if len(distinct) < FEWEST_TIMES:
        raise DataError(
            f"events.timestamp: expected at least {FEWEST_TIMES} distinct timestamps, got {len(distinct)}. "
            "The match module, the ranker and the test each need a part. Give a log with events at more times."
        )
    # Share of the events up to and including each distinct time.
    share = np.cumsum(counts) / counts.sum()
    # At least one time stays between the test's begin and its end, and two before and at its begin.
    last = min(_first_at_least(share, config.test_until), len(distinct) - 1)
    last_test = max(last, FEWEST_TIMES - 1) - 1
    test = max(min(_first_at_least(share, config.test_from), last_test), 1)
    ranker = min(_first_at_least(share, config.ranker_from), test - 1)
    ranker_from = int(distinct[ranker])
    test_from = int(distinct[test])
    refresh = window_length(ranker_from, test_from, config.windows)
    test_until = END_OF_TIME if config.test_until == 1 else int(distinct[last_test + 1 if last <= test else last])
    return Split(ranker_from, test_from, refresh, test_until)


def window_length(ranker_from: int, test_from: int, n_windows: int) -> int:
    """The length of each of the ranker's windows, microseconds; rounded up, so that they cover the whole period."""
    return max(-(-(test_from - ranker_from) // n_windows), 1)


def fold_splits(config: SplitConfig, n_folds: int) -> list[SplitConfig]:
    """The splits of all folds in order of time; the last is `config`.

    All test periods have the same share of the events, each begins where the one before ends, and the ranker's windows
    keep their share of what lies before the test. Raises ValueError if the first test would begin too early.
    """
    if fault := folds_fault(config, n_folds):
        raise ValueError(fault)
    share = 1 - config.test_from
    # A fold's end and the next one's begin are the same number.
    begins = [config.test_from - share * (n_folds - 1 - number) for number in range(n_folds - 1)]
    ends = [*begins[1:], config.test_from]
    earlier = [
        replace(config, ranker_from=config.ranker_from / config.test_from * begin, test_from=begin, test_until=end)
        for begin, end in zip(begins, ends[: len(begins)], strict=True)
    ]
    return [*earlier, config]


def folds_fault(config: SplitConfig, n_folds: int) -> str:
    """What is wrong with so many folds, in words; empty if they fit. One always does."""
    share = 1 - config.test_from
    most = max(floor((1 - EARLIEST_TEST) / share + ROUNDING), 1)
    if 1 <= n_folds <= most:
        return ""
    return (
        f"folds: expected 1 to {most}, got {n_folds}. Each takes a test period of {share:.0%} of the events, and "
        "what lies before the first must be enough to learn from."
    )


def _first_at_least(share: Float64Array, wanted: float) -> int:
    return int(np.searchsorted(share, wanted - SHARE_TOLERANCE, side="left"))
