"""Counters as of a time on a device: the numbers of `feature_store.point_in_time.counters` and `click_through`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import Tensor

from feature_store.point_in_time.click_through import CLICK_FEATURES, PRIOR_SHOWN, ClickIndex
from feature_store.point_in_time.counters import CounterConfig
from feature_store.point_in_time.event_log import EventLog
from feature_store.point_in_time.online_log import OnlineLog
from feature_store.point_in_time.read_protocol import AsOf
from recmem.on_device.as_of import DeviceIndex
from recmem.on_device.kept import Kept

Columns = dict[str, Float32[Tensor, " n"]]


@dataclass(frozen=True, eq=False)
class ItemEvents:
    """The events of each item on a device, of one log or of several that are read as one."""

    parts: tuple[DeviceIndex, ...]
    first_time: Int[Tensor, " item_and_one"]
    """When each item's first event happened; whatever for an item without any, and at the end, for what is no item."""

    @classmethod
    def of(cls, log: AsOf, n_items: int, device: torch.device) -> ItemEvents | None:
        """The events of a log; None for one that is read in another way: with cancelled events, or of a server."""
        if isinstance(log, EventLog):
            return _OF_LOGS.of(log, device, lambda: cls._of((log,), log, n_items, device))
        if isinstance(log, OnlineLog) and log.cancelled is None:
            return _OF_GROWN_LOGS.of(log, device, lambda: cls._of((log.base, log.tail), log, n_items, device))
        return None

    @classmethod
    def _of(
        cls, parts: tuple[EventLog, ...], log: EventLog | OnlineLog, n_items: int, device: torch.device
    ) -> ItemEvents:
        # Nothing is cancelled, so an item's first event is the same at all times.
        items = np.arange(n_items + 1)
        _, first_time = log.item_firsts(items, np.zeros_like(items))
        indexes = (_index(part, device) for part in parts)
        return cls(tuple(indexes), torch.from_numpy(first_time).to(device))

    def counters(
        self,
        items: Int[Tensor, " pair"],
        query: Int[Tensor, " pair"],
        times: Int[Tensor, " query"],
        config: CounterConfig,
    ) -> Columns:
        """See `item_counters`: of `items[n]` as of the time of its query."""
        windows = {"short": config.short, "medium": config.medium, "long": config.long}
        total = self._counts(items, query, times)
        recent = {name: total - self._counts(items, query, times - window) for name, window in windows.items()}
        features = {"popularity": log1p(total)}
        features |= {f"popularity_{name}": log1p(count) for name, count in recent.items()}
        # The prior: one event in the medium window, and as many in the long one as an even rate would give.
        trend = (recent["medium"] + 1).double() / (recent["long"].double() + config.long / config.medium)
        features["trend"] = trend.float()
        first = self.first_time[items.clamp(max=len(self.first_time) - 1)]
        age = (times[query] - first).clamp(min=0).double() / config.span
        features["item_age"] = torch.where(total > 0, age.float(), -1)
        return features

    def _counts(
        self, items: Int[Tensor, " pair"], query: Int[Tensor, " pair"], times: Int[Tensor, " query"]
    ) -> Int[Tensor, " pair"]:
        """How many events of each item were known at the time of its query."""
        counts = torch.zeros_like(items)
        for part in self.parts:
            counts += part.counts(items, part.known_until(times)[query])
        return counts


@dataclass(frozen=True, eq=False)
class ClickCounts:
    """Impressions and clicks of each item on a device."""

    shown: DeviceIndex
    clicked: DeviceIndex

    @classmethod
    def of(cls, clicks: ClickIndex, device: torch.device) -> ClickCounts:
        """The same impressions on a device."""
        return _OF_CLICKS.of(
            clicks, device, lambda: cls(DeviceIndex.of(clicks.shown, device), DeviceIndex.of(clicks.clicked, device))
        )

    def features(
        self, items: Int[Tensor, " pair"], query: Int[Tensor, " pair"], times: Int[Tensor, " query"]
    ) -> Columns:
        """See `ClickIndex.features`."""
        all_shown = self.shown.known_until(times)
        all_clicked = self.clicked.known_until(times)
        shown = self.shown.counts(items, all_shown[query])
        clicked = self.clicked.counts(items, all_clicked[query])
        average = (all_clicked + 1).double() / (all_shown.double() + PRIOR_SHOWN)
        click_through = (clicked + PRIOR_SHOWN * average[query]) / (shown.double() + PRIOR_SHOWN)
        return dict(zip(CLICK_FEATURES, (click_through.float(), log1p(shown)), strict=True))


def log1p(counts: Tensor) -> Float32[Tensor, " n"]:
    """log(1 + count), computed in float64 as on the CPU."""
    return torch.log1p(counts.double()).float()


def _index(log: EventLog, device: torch.device) -> DeviceIndex:
    return _INDEXES.of(log, device, lambda: DeviceIndex.of(log.by_item, device))


_INDEXES: Kept[EventLog, DeviceIndex] = Kept()
_OF_LOGS: Kept[EventLog, ItemEvents] = Kept()
_OF_GROWN_LOGS: Kept[OnlineLog, ItemEvents] = Kept()
_OF_CLICKS: Kept[ClickIndex, ClickCounts] = Kept()
