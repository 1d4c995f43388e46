"""Everything that was known about users and items, ready to be read as of any moment."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from feature_store import EventLog, SignalConfig
from feature_store.arrays import IntArray
from feature_store.cancellations import involves_cancellations
from feature_store.point_in_time.as_of_index import when_known
from feature_store.point_in_time.as_of_reads import END_OF_TIME
from feature_store.point_in_time.cancelled_events import CancelledEvents
from feature_store.point_in_time.click_through import ClickIndex
from feature_store.point_in_time.counters import CounterConfig
from feature_store.point_in_time.covisitation import CovisitationConfig, CovisitationTimeline
from feature_store.point_in_time.event_log import rows_of
from feature_store.point_in_time.histories import Histories
from feature_store.point_in_time.online_log import LONGEST_TAIL, OnlineLog, empty_log, log_of, merged
from feature_store.redis.fetched_log import FetchedLog
from feature_store.schema import EVENTS
from recmem.dataset.catalogue import Catalogue


@dataclass(frozen=True)
class DatasetConfig:
    """How a log is read. Fixed when a model is trained and carried in its bundle."""

    signals: SignalConfig
    counters: CounterConfig
    covisitation: CovisitationConfig
    refresh_origin: int
    """The item-item models are refitted at this moment (microseconds) ..."""
    refresh_every: int
    """... and again after every so many microseconds."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Catalogue, users and log, with what is derived from them."""

    catalogue: Catalogue
    users: pl.Series
    """User ids, in row order: those that the tables held by id, then who has been observed since."""
    n_first_users: int
    reads: EventLog | OnlineLog | FetchedLog
    """What histories and counters are read from."""
    timeline: CovisitationTimeline
    clicks: ClickIndex
    events: pl.DataFrame
    """The events that the log was built from."""
    impressions: pl.DataFrame
    config: DatasetConfig

    @classmethod
    def of(
        cls, catalogue: Catalogue, events: pl.DataFrame, impressions: pl.DataFrame, config: DatasetConfig
    ) -> Dataset:
        """The dataset of a store's tables; the order of their rows does not matter."""
        users = pl.concat([events["user_id"], impressions["user_id"].cast(events["user_id"].dtype)]).unique().sort()
        reads = log_of(events, users, catalogue.ids, config.signals)
        timeline = CovisitationTimeline(
            reads, len(catalogue), config.refresh_origin, config.refresh_every, config.covisitation
        )
        return cls(
            catalogue=catalogue,
            users=users,
            n_first_users=len(users),
            reads=reads,
            timeline=timeline,
            clicks=ClickIndex.of(impressions, catalogue.ids),
            events=events,
            impressions=impressions,
            config=config,
        )

    @property
    def log(self) -> EventLog:
        """All events that this process has loaded and observed and that stand, as one log."""
        return self.tables if isinstance(self.tables, EventLog) else self.tables.whole

    @property
    def tables(self) -> EventLog | OnlineLog:
        """What this process has loaded and observed."""
        return self.reads.base if isinstance(self.reads, FetchedLog) else self.reads

    def log_at(self, time: int) -> EventLog:
        """`log`, as whoever learns at `time` has it: with the events that are taken back only after that."""
        if self.cancelled is None:
            return self.log
        return merged(self.log, self.cancelled.log.rows(np.flatnonzero(self.cancelled.cancelled_at > time)))

    @property
    def cancelled(self) -> CancelledEvents | None:
        """Events that this process has loaded and observed and that were taken back."""
        return None if isinstance(self.tables, EventLog) else self.tables.cancelled

    @property
    def clock(self) -> int:
        """The moment just after the newest event, microseconds: the `now` of whoever names no time."""
        return self.reads.clock

    def user_rows(self, ids: pl.Series) -> IntArray:
        """Row of each user, -1 for users without any event."""
        rows = rows_of(ids, self.users[: self.n_first_users]).to_numpy().copy()
        if len(self.users) > self.n_first_users:
            later = rows_of(ids, self.users[self.n_first_users :]).to_numpy()
            rows = np.where((rows < 0) & (later >= 0), later + self.n_first_users, rows)
        return rows

    def histories(self, users: IntArray, times: IntArray, limit: int) -> Histories:
        """The last `limit` events of each user, strictly before each time."""
        return Histories.as_of(self.reads, users, times, limit)

    def with_catalogue(self, catalogue: Catalogue) -> Dataset:
        """The same events over another catalogue: the row numbers change with it."""
        return Dataset.of(catalogue, self.events, self.impressions, self.config)

    def with_events(self, events: pl.DataFrame) -> Dataset:
        """The dataset after these events, which must be checked rows of the events table. Known ones count once.

        Costs what the new events cost, until they are many or one takes an earlier event back: then all is built anew.
        """
        new = _unseen(events.select(self.events.columns), self.events)
        together = pl.concat([self.events, new], how="vertical_relaxed", rechunk=False)
        n_tail = len(self.tables.tail) if isinstance(self.tables, OnlineLog) else 0
        if n_tail + len(new) > LONGEST_TAIL or not len(self.tables) or involves_cancellations(new, self.events):
            dataset = Dataset.of(self.catalogue, together, self.impressions, self.config)
        else:
            dataset = self._grown(new, together)
        if len(new):
            dataset.timeline.take_over(self.timeline, before=int(new.select(when_known()).to_numpy().min()))
        else:
            dataset.timeline.take_over(self.timeline, before=END_OF_TIME)
        return dataset

    def _grown(self, new: pl.DataFrame, together: pl.DataFrame) -> Dataset:
        ids = new["user_id"].cast(self.users.dtype).unique(maintain_order=True)
        users = pl.concat([self.users, ids.filter(pl.Series(self.user_rows(ids) < 0))])
        # Only this dataset's users and items have rows: the events' own are few, and looked up one by one.
        own = replace(self, users=users)
        items = self.catalogue.rows(new["item_id"])
        rows = EventLog.from_rows(new, own.user_rows(new["user_id"]), items, self.config.signals)
        held = self.tables if isinstance(self.tables, OnlineLog) else OnlineLog(self.tables, empty_log(), users)
        reads = held.grown(rows, users)
        timeline = CovisitationTimeline(
            reads, self.timeline.n_items, self.timeline.origin, self.timeline.refresh, self.timeline.config
        )
        return replace(own, reads=reads, timeline=timeline, events=together)


def _unseen(events: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The events that are not known, each once: by `event_id` where they have one, else by what they say."""
    identity = [name for name in EVENTS.identity if name in known.columns]
    parts = []
    for rows, keys, within in (
        (events.filter(pl.col("event_id").is_not_null()), ["event_id"], "event_id"),
        (events.filter(pl.col("event_id").is_null()), identity, "timestamp"),
    ):
        firsts = rows.unique(keys, keep="first", maintain_order=True)
        among = known.lazy().filter(pl.col("event_id").is_null() == (within != "event_id"))
        if len(firsts):
            first, last = pl.lit(firsts[within].min()), pl.lit(firsts[within].max())
            among = among.filter(pl.col(within).is_between(first, last))
        parts.append(firsts.join(among.select(keys).collect(), on=keys, how="anti", nulls_equal=True))
    return pl.concat(parts)
