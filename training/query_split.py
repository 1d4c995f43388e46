"""The split of a run in time, and whether each of its parts has queries to learn from or to measure on."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np
import polars as pl

from feature_store import DataError, EventLog
from feature_store.arrays import IntArray
from feature_store.timestamps import iso_time
from recmem.dataset.dataset import Dataset
from training.fitting.fit_ranker import FEWEST_QUERIES
from training.queries import ImpressionQueries, impression_of_row, queries_of
from training.splits import SHARE_TOLERANCE, Split, SplitConfig, split_times, window_length


def split_of(log: EventLog, impressions: pl.DataFrame, config: SplitConfig) -> Split:
    """The split by the share of events or, where there are impressions, of the items that were shown.

    If that leaves too few clicked impressions for the ranker or the test, because a few impressions show most of the
    items, each impression counts once.

    The match module learns from events, the ranker from impressions. So where the module's share of the events has
    happened earlier than its share of the impressions, because histories reach further back, the ranker's windows begin
    then: the ranker gets all impressions that the module can do without.
    """
    if impressions.is_empty():
        return split_times(log.times, config)
    times = _microseconds(impressions["timestamp"])
    by_items_shown = split_times(times, config)
    clicked_times = _impression_times(impressions.filter(pl.col("label") > 0))
    if not _has_enough(clicked_times, by_items_shown):
        by_impressions = split_times(_impression_times(impressions), config)
        if _has_enough(clicked_times, by_impressions):
            return _with_early_windows(by_impressions, log, times, config)
    return _with_early_windows(by_items_shown, log, times, config)


def _with_early_windows(split: Split, log: EventLog, shown_times: IntArray, config: SplitConfig) -> Split:
    """The split with windows that begin once the match module has its share of the events before the test."""
    events_before_test = np.sort(log.times[log.times <= split.test_from])
    if not len(events_before_test):
        return split
    share = config.ranker_from / config.test_from
    n_learned = max(ceil(len(events_before_test) * (share - SHARE_TOLERANCE)), 1)
    # Before the first impression the ranker has nothing to learn from.
    enough = max(int(events_before_test[n_learned - 1]), int(shown_times.min()) - 1)
    ranker_from = min(split.ranker_from, enough)
    return replace(split, ranker_from=ranker_from, refresh=window_length(ranker_from, split.test_from, config.windows))


def require_queries(dataset: Dataset, shown: ImpressionQueries | None, split: Split) -> None:
    """Raises DataError if the ranker's windows or the test have too few queries with a positive.

    This takes seconds, and is done before the match module is fitted for minutes.
    """
    n_ranker = _n_queries(dataset, shown, split.ranker_from, split.test_from)
    n_test = _n_queries(dataset, shown, split.test_from, split.test_until)
    if shown is None:
        what = "events: expected {} queries (a user with earlier events who interacts with a new item) {}, got {}. {}"
        remedy = "Give a longer log, or one with users who come back."
    else:
        what = "impressions: expected {} impressions with a clicked item {}, got {}. {}"
        remedy = "Give more impressions, with label 1 for the clicked items."
    ranker_from = iso_time(split.ranker_from)
    test_from = iso_time(split.test_from)
    if n_ranker < FEWEST_QUERIES:
        period = f"from {ranker_from} to {test_from}, which the ranker learns from"
        raise DataError(what.format(f"at least {FEWEST_QUERIES}", period, n_ranker, remedy))
    if not n_test:
        raise DataError(what.format("some", f"after {test_from}, where the test begins", "none", remedy))


def _n_queries(dataset: Dataset, shown: ImpressionQueries | None, begin: int, end: int) -> int:
    if shown is not None:
        return int((shown.between(begin, end).queries().positives.lengths > 0).sum())
    return len(queries_of(dataset, begin, end))


def _has_enough(clicked_times: IntArray, split: Split) -> bool:
    is_test = (clicked_times > split.test_from) & (clicked_times <= split.test_until)
    is_ranker = (clicked_times > split.ranker_from) & (clicked_times <= split.test_from)
    return bool(is_test.any()) and int(is_ranker.sum()) >= FEWEST_QUERIES


def _impression_times(impressions: pl.DataFrame) -> IntArray:
    """The time of each impression, once: int64[impression]."""
    _, first_row = np.unique(impression_of_row(impressions), return_index=True)
    times: IntArray = _microseconds(impressions["timestamp"])[first_row]
    return times


def _microseconds(timestamps: pl.Series) -> IntArray:
    times: IntArray = timestamps.dt.epoch("us").to_numpy()
    return times
