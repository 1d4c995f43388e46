"""Counters as of a moment: how often, how lately, how long known. All read the log strictly before the moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_store.arrays import Float32Array, IntArray
from feature_store.point_in_time.as_of_reads import AsOf
from feature_store.point_in_time.event_log import EventLog

SHORT, MEDIUM, LONG = 1 / 200, 1 / 50, 1 / 12


@dataclass(frozen=True)
class CounterConfig:
    """Lengths of the windows that popularity is counted in, microseconds."""

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
        """Windows as shares of the log's own span, so that logs of hours and of decades are both served."""
        span = max(int(np.ptp(log.times)), 1) if len(log) else 1
        short, medium, long = (max(int(span * share), 1) for share in (SHORT, MEDIUM, LONG))
        return cls(short=short, medium=medium, long=long, span=span)


def item_counters(log: AsOf, items: IntArray, times: IntArray, config: CounterConfig) -> dict[str, Float32Array]:
    """Counters of item `items[n]` as of `times[n]` (microseconds): float32[n] each.

    Popularity is log(1 + events): in all, and within each window. `trend` is the medium window's share of the long
    one. `item_age` is the time since the item's first event, in spans of the training log; -1 for a new item.
    """
    windows = {"short": config.short, "medium": config.medium, "long": config.long}
    total, *counts = log.item_counts(items, times, tuple(windows.values()))
    recent = dict(zip(windows, counts, strict=True))
    columns = {"popularity": _log1p(total)}
    columns |= {f"popularity_{name}": _log1p(count) for name, count in recent.items()}
    columns["trend"] = ((recent["medium"] + 1) / (recent["long"] + config.long / config.medium)).astype(np.float32)
    columns["item_age"] = _item_age(log, items, times, total, config.span)
    return columns


def user_counters(log: AsOf, users: IntArray, times: IntArray, config: CounterConfig) -> dict[str, Float32Array]:
    """Counters of user `users[n]` as of `times[n]`: float32[n] each.

    `user_events` is log(1 + events); `user_gap` the time since the last event, as log(1 + short windows); -1 for none.
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
