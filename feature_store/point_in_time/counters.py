"""Counters as of a time, from the events known then: how many, how recent, and how old the item is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_store.arrays import Float32Array, IntArray
from feature_store.point_in_time.event_log import EventLog
from feature_store.point_in_time.read_protocol import AsOf

# Lengths of the windows as shares of the log's span: of a year, about 2, 7 and 30 days.
SHORT = 1 / 200
MEDIUM = 1 / 50
LONG = 1 / 12


@dataclass(frozen=True)
class CounterConfig:
    """Lengths of the windows in which popularity is counted, microseconds."""

    short: int
    medium: int
    long: int
    span: int
    """The unit of item age: the length of the log that the ranker was trained on."""

    def __post_init__(self) -> None:
        if not 0 < self.short <= self.medium <= self.long:
            raise ValueError(
                f"windows: expected 0 < short <= medium <= long, got {self.short}, {self.medium}, {self.long}. "
                "Give lengths in microseconds."
            )

    @classmethod
    def from_log(cls, log: EventLog) -> CounterConfig:
        """Windows as shares of the log's own span, so that they suit logs of hours and of decades."""
        span = max(int(np.ptp(log.times)), 1) if len(log) else 1
        short, medium, long = (max(int(span * share), 1) for share in (SHORT, MEDIUM, LONG))
        return cls(short=short, medium=medium, long=long, span=span)


def item_counters(log: AsOf, items: IntArray, times: IntArray, config: CounterConfig) -> dict[str, Float32Array]:
    """Counters of item `items[n]` as of `times[n]` (microseconds): float32[n] each.

    Popularity is log(1 + events): in all, and within each window. `trend` is the medium window's share of the long
    one, smoothed. `item_age` is the time since the item's first event, in spans of the training log; -1 without any.
    """
    windows = {"short": config.short, "medium": config.medium, "long": config.long}
    total, *counts = log.item_counts(items, times, tuple(windows.values()))
    recent = dict(zip(windows, counts, strict=True))
    features = {"popularity": _log1p(total)}
    features |= {f"popularity_{name}": _log1p(count) for name, count in recent.items()}
    # The prior: one event in the medium window, and as many in the long one as an even rate would give.
    trend = (recent["medium"] + 1) / (recent["long"] + config.long / config.medium)
    features["trend"] = trend.astype(np.float32)
    features["item_age"] = _item_age(log, items, times, total, config.span)
    return features


def user_counters(log: AsOf, users: IntArray, times: IntArray, config: CounterConfig) -> dict[str, Float32Array]:
    """Counters of user `users[n]` as of `times[n]`: float32[n] each.

    `user_events` is log(1 + events). `user_gap` is log(1 + time since the last event in short windows); -1 without any.
    """
    count, newest = log.user_counts(users, times)
    known = count > 0
    gap = np.full(len(users), -1.0, np.float32)
    gap[known] = np.log1p(np.maximum(times[known] - newest[known], 0) / config.short)
    return {"user_events": _log1p(count), "user_gap": gap}


def _item_age(log: AsOf, items: IntArray, times: IntArray, total: IntArray, span: int) -> Float32Array:
    age = np.full(len(items), -1.0, np.float32)
    known = total > 0
    _, first = log.item_firsts(items[known], times[known])
    age[known] = np.maximum(times[known] - first, 0) / span
    return age


def _log1p(counts: IntArray) -> Float32Array:
    return np.log1p(counts).astype(np.float32)
