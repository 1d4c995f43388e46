"""Everything that is known about users and items, readable as of any time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from feature_store import EventLog, SignalConfig
from feature_store.arrays import Float32Array, IntArray
from feature_store.cancellations import involves_cancellations
from feature_store.point_in_time.as_of_join import when_known
from feature_store.point_in_time.cancelled_events import CancelledEvents
from feature_store.point_in_time.click_through import ClickIndex
from feature_store.point_in_time.counters import CounterConfig
from feature_store.point_in_time.covisitation import CovisitationConfig, CovisitationTimeline
from feature_store.point_in_time.event_log import rows_of
from feature_store.point_in_time.histories import Histories
from feature_store.point_in_time.item_history import ItemHistory
from feature_store.point_in_time.not_clicked import NotClicked
from feature_store.point_in_time.online_log import LONGEST_TAIL, OnlineLog, empty_log, log_of, merged
from feature_store.point_in_time.read_protocol import END_OF_TIME
from feature_store.redis.fetched_log import FetchedLog
from feature_store.schema import EVENTS, ITEM_CHANGES
from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.knowledge_config import KnowledgeConfig
from recmem.dataset.user_profiles import UserProfiles


@dataclass(frozen=True)
class DatasetConfig:
    """How a log is read. Fixed when a model is trained and carried in its bundle."""

    signals: SignalConfig
    counters: CounterConfig
    covisitation: CovisitationConfig
    refresh_origin: int
    """The co-visitation models are refitted at this time (microseconds) ..."""
    refresh_every: int
    """... and again after every so many microseconds."""
    candidate_features: tuple[CandidateFeature, ...] = ()
    """Columns of candidates and impressions that are features of the ranker."""
    user_features: tuple[CandidateFeature, ...] = ()
    """Columns of the users table that are."""
    interests: str = ""
    """The column of the users table that holds declared interests; "" if there is none."""
    has_impressions: bool = False
    """Whether the model was trained on impressions: then a candidate is compared with those shown beside it."""
    repeats: bool = False
    """Whether items that a user has had before are wanted too, as in groceries."""
    knowledge: KnowledgeConfig | None = None
    """Which facts of items are read; None if none are."""
    fact_slots: int = 0
    """How many facts of a user's items are memory slots, see `recmem.dataset.fact_slots`."""
    not_clicked_slots: int = 0
    """How many items shown to a user and not clicked are memory slots, see `recmem.dataset.not_clicked_slots`."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Catalogue, users and events, with what is derived from them.

    Three views of the events, from the widest use to the narrowest: features and histories are read from `reads`,
    which may be data fetched from shared memories for one request; `tables` is what this process itself holds; `log`
    is the same in one piece, for those who walk through all events.
    """

    catalogue: Catalogue
    users: pl.Series
    """User ids in row order: those of the tables, sorted, followed by users who have been observed since."""
    n_first_users: int
    """How many of `users` are those of the tables."""
    reads: EventLog | OnlineLog | FetchedLog
    """Answers the point-in-time reads (`AsOf`): the process's own log, or what was fetched for one request."""
    timeline: CovisitationTimeline
    """The co-visitation models, as they stood at each time."""
    clicks: ClickIndex
    """Impressions and clicks of each item, as of any time."""
    not_clicked: NotClicked
    """The impressions of each user, as of any time; empty unless memories have slots of them."""
    events: pl.DataFrame
    """The events that the log was built from: checked rows of the events table."""
    impressions: pl.DataFrame
    config: DatasetConfig
    item_changes: pl.DataFrame
    """The numbers of items that came with times, a row a change: a store's `item_changes`."""
    item_history: ItemHistory
    """The same, as of any time."""
    profiles: UserProfiles = field(default_factory=UserProfiles.none)
    """What the users table says of users."""
    store: str = ""
    """`Store.identity` of the tables; empty if they are of none."""

    @classmethod
    def of(
        cls,
        catalogue: Catalogue,
        events: pl.DataFrame,
        impressions: pl.DataFrame,
        config: DatasetConfig,
        *,
        item_changes: pl.DataFrame | None = None,
        profiles: UserProfiles | None = None,
        store: str = "",
    ) -> Dataset:
        """The dataset of a store's tables; the order of their rows does not matter."""
        changes = pl.DataFrame(schema=ITEM_CHANGES.schema()) if item_changes is None else item_changes
        profiles = profiles or UserProfiles.none()
        id_type = events["user_id"].dtype
        ids = [events["user_id"], impressions["user_id"].cast(id_type), profiles.ids.cast(id_type)]
        users = pl.concat(ids).unique().sort()
        reads = log_of(events, users, catalogue.ids, config.signals)
        timeline = CovisitationTimeline(
            reads,
            len(catalogue),
            config.refresh_origin,
            config.refresh_every,
            config.covisitation,
            words=lambda: catalogue.words,
        )
        return cls(
            catalogue=catalogue,
            users=users,
            n_first_users=len(users),
            reads=reads,
            timeline=timeline,
            clicks=ClickIndex.of(impressions, catalogue.ids),
            not_clicked=NotClicked.of(
                impressions if config.not_clicked_slots else impressions.clear(), users, catalogue.ids
            ),
            events=events,
            impressions=impressions,
            config=config,
            item_changes=changes,
            item_history=ItemHistory.of(changes, catalogue.ids),
            profiles=profiles,
            store=store,
        )

    @property
    def tables(self) -> EventLog | OnlineLog:
        """The events that this process has loaded and observed, cancelled ones included."""
        return self.reads.base if isinstance(self.reads, FetchedLog) else self.reads

    @property
    def log(self) -> EventLog:
        """The events of `tables` that are not cancelled, as one log."""
        return self.tables if isinstance(self.tables, EventLog) else self.tables.whole

    def log_at(self, time: int) -> EventLog:
        """`log` as it was at `time`: events cancelled only later are still in it."""
        if self.cancelled is None:
            return self.log
        still_valid = np.flatnonzero(self.cancelled.cancelled_at > time)
        return merged(self.log, self.cancelled.log.rows(still_valid))

    @property
    def cancelled(self) -> CancelledEvents | None:
        """The cancelled events of `tables`; None where there are none."""
        return None if isinstance(self.tables, EventLog) else self.tables.cancelled

    @property
    def clock(self) -> int:
        """The first microsecond at which all events are known: the `now` of requests that name no time."""
        return self.reads.clock

    def user_rows(self, ids: pl.Series) -> IntArray:
        """Row of each user in `users`, -1 for one whom they lack: int64."""
        rows = rows_of(ids, self.users[: self.n_first_users]).to_numpy().copy()
        if len(self.users) > self.n_first_users:
            observed = rows_of(ids, self.users[self.n_first_users :]).to_numpy()
            rows = np.where((rows < 0) & (observed >= 0), observed + self.n_first_users, rows)
        return rows

    def item_numbers(self, items: IntArray, times: IntArray) -> dict[str, Float32Array]:
        """The numeric columns of item rows as of times (microseconds): float32, one per item; NaN for a missing value.

        Columns that came without times are read as they are now.
        """
        dated = self.item_history.columns
        return {
            name: self.item_history.values(name, items, times) if name in dated else numbers[items]
            for name, numbers in self.catalogue.numbers().items()
        }

    def profile_rows(self, users: IntArray, times: IntArray) -> IntArray:
        """The row of `profiles` that holds for each user at its time, -1 for none.

        At the log clock, which is the present of requests that name no time, the present of the users table counts: a
        change after the last event is known then.
        """
        present = max(self.clock, self.profiles.clock)
        return self.profiles.rows_at(users, np.where(times == self.clock, present, times), self.users)

    def interest_rows(self, users: IntArray, times: IntArray) -> IntArray:
        """Where each user's interests at its time stand in `profiles.interests.vectors`, -1 for none: int64."""
        return self.profiles.interest_rows(self.config.interests, self.profile_rows(users, times))

    def histories(self, users: IntArray, times: IntArray, limit: int) -> Histories:
        """The last `limit` events of each user, strictly before each time."""
        return Histories.as_of(self.reads, users, times, limit)

    def with_events(self, events: pl.DataFrame) -> Dataset:
        """The dataset after these events, which must be checked rows of the events table. Known ones count once.

        The cost grows with the new events only, until they are many or one cancels an earlier event: then everything
        is built anew.
        """
        new = _new_events(events.select(self.events.columns), self.events)
        together = pl.concat([self.events, new], how="vertical_relaxed", rechunk=False)
        n_tail = len(self.tables.tail) if isinstance(self.tables, OnlineLog) else 0
        if n_tail + len(new) > LONGEST_TAIL or not len(self.tables) or involves_cancellations(new, self.events):
            dataset = Dataset.of(
                self.catalogue,
                together,
                self.impressions,
                self.config,
                item_changes=self.item_changes,
                profiles=self.profiles,
                store=self.store,
            )
        else:
            dataset = self._extended(new, together, new["user_id"])
        # Models of refreshes before the first new event was known stay as they are.
        first_known = int(new.select(when_known()).to_numpy().min()) if len(new) else END_OF_TIME
        dataset.timeline.take_over(self.timeline, before=first_known)
        return dataset

    def with_user_rows(self, rows: pl.DataFrame) -> Dataset:
        """The dataset after these checked rows of the users table."""
        profiles = self.profiles.with_rows(rows)
        extended = self._extended(self.events.clear(), self.events, rows["user_id"])
        # No event is new: the item-item models stay as they are.
        return replace(extended, timeline=self.timeline, profiles=profiles)

    def _extended(self, new: pl.DataFrame, together: pl.DataFrame, user_ids: pl.Series) -> Dataset:
        """The dataset with a longer tail of observed events, and these users; `together` are all events."""
        user_ids = user_ids.cast(self.users.dtype).unique(maintain_order=True)
        users = pl.concat([self.users, user_ids.filter(pl.Series(self.user_rows(user_ids) < 0))])
        extended = replace(self, users=users)
        rows = EventLog.from_rows(
            new, extended.user_rows(new["user_id"]), self.catalogue.rows(new["item_id"]), self.config.signals
        )
        current = self.tables if isinstance(self.tables, OnlineLog) else OnlineLog(self.tables, empty_log(), users)
        reads = current.grown(rows, users)
        timeline = self.timeline.of_log(reads)
        return replace(extended, reads=reads, timeline=timeline, events=together)


def _new_events(events: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """The events that are not among `known`, each once."""
    has_id = pl.col("event_id").is_not_null()
    identity = [name for name in EVENTS.identity if name in known.columns]
    by_id = _rows_not_in(events.filter(has_id), known.lazy().filter(has_id), ["event_id"], within="event_id")
    by_content = _rows_not_in(events.filter(~has_id), known.lazy().filter(~has_id), identity, within="timestamp")
    return pl.concat([by_id, by_content])


def _rows_not_in(events: pl.DataFrame, known: pl.LazyFrame, keys: list[str], *, within: str) -> pl.DataFrame:
    """The first of each group of events with equal `keys` that `known` lacks."""
    firsts = events.unique(keys, keep="first", maintain_order=True)
    if len(firsts):
        # Only known rows in the range of the new ones can be equal to them: this spares a join with the whole log.
        lowest = pl.lit(firsts[within].min())
        highest = pl.lit(firsts[within].max())
        known = known.filter(pl.col(within).is_between(lowest, highest))
    return firsts.join(known.select(keys).collect(), on=keys, how="anti", nulls_equal=True)
