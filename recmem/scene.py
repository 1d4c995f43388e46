"""Everything that was known about users and items, ready to be read as of any moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_store import EventLog, SignalConfig
from feature_store.counters import CounterConfig
from feature_store.covisitation import CovisitationConfig, CovisitationTimeline
from feature_store.histories import Histories
from feature_store.impressions import ClickIndex
from feature_store.log import rows_of
from recmem.catalogue import Catalogue

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class SceneConfig:
    """How a log is read. Fixed when a model is trained and carried in its bundle."""

    signals: SignalConfig
    counters: CounterConfig
    covisitation: CovisitationConfig
    refresh_origin: int
    """The item-item models are refitted at this moment (microseconds) ..."""
    refresh_every: int
    """... and again after every so many microseconds."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Catalogue, users and log, with what is derived from them."""

    catalogue: Catalogue
    users: pl.Series
    """User ids, in row order."""
    log: EventLog
    timeline: CovisitationTimeline
    clicks: ClickIndex
    events: pl.DataFrame
    """The events that the log was built from."""
    impressions: pl.DataFrame
    config: SceneConfig

    @classmethod
    def of(cls, catalogue: Catalogue, events: pl.DataFrame, impressions: pl.DataFrame, config: SceneConfig) -> Scene:
        """The scene of a store's tables; the order of their rows does not matter."""
        users = pl.concat([events["user_id"], impressions["user_id"].cast(events["user_id"].dtype)]).unique().sort()
        log = EventLog.from_frame(events, users, catalogue.ids, config.signals)
        timeline = CovisitationTimeline(
            log, len(catalogue), config.refresh_origin, config.refresh_every, config.covisitation
        )
        return cls(
            catalogue=catalogue,
            users=users,
            log=log,
            timeline=timeline,
            clicks=ClickIndex.of(impressions, catalogue.ids),
            events=events,
            impressions=impressions,
            config=config,
        )

    @property
    def clock(self) -> int:
        """The moment just after the newest event, microseconds: the `now` of whoever names no time."""
        return self.log.clock

    def user_rows(self, ids: pl.Series) -> IntArray:
        """Row of each user, -1 for users without any event."""
        return rows_of(ids, self.users).to_numpy().copy()

    def histories(self, users: IntArray, times: IntArray, limit: int) -> Histories:
        """The last `limit` events of each user, strictly before each time."""
        return Histories.as_of(self.log, users, times, limit)

    def with_catalogue(self, catalogue: Catalogue) -> Scene:
        """The same events over another catalogue: the row numbers change with it."""
        return Scene.of(catalogue, self.events, self.impressions, self.config)

    def with_events(self, events: pl.DataFrame) -> Scene:
        """The scene after these events, which must be checked rows of the events table. Known ones count once."""
        identity = ["user_id", "item_id", "timestamp", "event"]
        together = pl.concat([self.events, events.select(self.events.columns)], how="vertical_relaxed")
        by_id = together.filter(pl.col("event_id").is_not_null()).unique("event_id", keep="first", maintain_order=True)
        others = together.filter(pl.col("event_id").is_null()).unique(identity, keep="first", maintain_order=True)
        scene = Scene.of(self.catalogue, pl.concat([by_id, others]), self.impressions, self.config)
        if len(events):
            known = pl.max_horizontal(pl.col("timestamp").dt.epoch("us") + 1, pl.col("available_at").dt.epoch("us"))
            scene.timeline.take_over(self.timeline, before=int(events.select(known).to_numpy().min()))
        return scene
