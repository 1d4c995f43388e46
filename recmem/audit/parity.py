"""Checks parity: past queries are replayed in batch and online, and the features must be equal.

Batch: the whole log is joined as of every query, as in training. Online: a dataset observes event after event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
import polars as pl

from feature_store.arrays import IntArray
from feature_store.point_in_time.as_of_join import when_known
from feature_store.point_in_time.item_history import ItemHistory
from recmem.audit.past_queries import PastQueries
from recmem.audit.snapshots import FeatureSnapshot, differences
from recmem.audit.user_changes import UserChanges
from recmem.dataset.dataset import Dataset
from recmem.dataset.shared_memories import RedisMemories, publish, with_shared_memories, write
from recmem.matching.matcher import MATCH_FEATURES
from recmem.ranking.pair_features import PairFeatures
from recmem.serving.model import Model

PARITY_SIDES = ("batch", "online")
"""Columns of the two values in the audit's frame."""


_KNOWN = "\n"
"""A name that no column of a table has."""


class Feed(Protocol):
    """The online side: takes events in, and is read in between."""

    def observe(self, events: pl.DataFrame) -> None:
        """Takes events in."""
        ...

    def observe_users(self, rows: pl.DataFrame) -> None:
        """Takes rows of the users table in."""
        ...

    def dataset(self, users: pl.Series, queries: PastQueries) -> Dataset:
        """What is known by now, ready for these queries of these users."""
        ...


class InProcess:
    """Events kept by the process itself."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def observe(self, events: pl.DataFrame) -> None:
        """See `Feed`."""
        self._dataset = self._dataset.with_events(events)

    def observe_users(self, rows: pl.DataFrame) -> None:
        """See `Feed`."""
        self._dataset = self._dataset.with_user_rows(rows)

    def dataset(self, users: pl.Series, queries: PastQueries) -> Dataset:
        """See `Feed`."""
        return self._dataset


class Shared:
    """Events kept in shared memories. Co-visitation is that of `whole`: processes load it from the tables anew.

    What is known of users is no part of shared memories: each process keeps it.
    """

    def __init__(self, dataset: Dataset, memories: RedisMemories, whole: Dataset, first: int) -> None:
        """`dataset`: what was known at the time `first`; `whole`: all events."""
        self._dataset = replace(dataset, timeline=whole.timeline)
        self._memories = memories
        publish(dataset, memories, answers_from=first)

    def observe(self, events: pl.DataFrame) -> None:
        """See `Feed`."""
        write(self._dataset, self._memories, events)

    def observe_users(self, rows: pl.DataFrame) -> None:
        """See `Feed`."""
        self._dataset = self._dataset.with_user_rows(rows)

    def dataset(self, users: pl.Series, queries: PastQueries) -> Dataset:
        """See `Feed`."""
        items = queries.items.values
        item_times = queries.times[queries.items.row_index]
        return with_shared_memories(self._dataset, self._memories, users, queries.times, items, item_times)[0]


class _ItemsSoFar:
    """What had become known of the items' changes by the time of each query; times ascend."""

    def __init__(self, dataset: Dataset) -> None:
        self._changes = dataset.item_changes.with_columns(when_known().alias(_KNOWN)).sort(_KNOWN)
        self._known = self._changes[_KNOWN].to_numpy()
        self._history = dataset.item_history
        self._n_known = -1

    def known_at(self, time: int, dataset: Dataset) -> Dataset:
        """The dataset without the changes that became known after the time."""
        n_known = int(np.searchsorted(self._known, time, side="right"))
        if n_known != self._n_known:
            self._n_known = n_known
            self._history = ItemHistory.of(self._changes[:n_known].drop(_KNOWN), dataset.catalogue.ids)
        return replace(dataset, item_history=self._history)


def replay_audit(
    model: Model,
    queries: PastQueries,
    *,
    online: RedisMemories | None = None,
    on_query: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """Where batch and online features differ in any bit: the rows of `differences`; there should be none.

    The online side begins with what was known at the first query and observes the later events one by one, and the
    later rows of the users table, in this process or through `online` (shared memories under a name that holds
    nothing). It knows nothing that became known after the query it is read for.

    The last bits of the match and of the ranking score depend on how many queries are scored together. These are
    compared with the batch side read for one query alone; everything else also with all queries read at once.
    """
    dataset = model.dataset
    matcher = model.matcher
    ranker = model.bundle.ranker
    whole = FeatureSnapshot.of(dataset, matcher, ranker, queries)
    events = dataset.events.with_columns(known=when_known()).sort("known")
    known = events["known"].to_numpy()
    events = events.drop("known")
    first = int(queries.times[0]) if len(queries) else 0
    n_fed = int(np.searchsorted(known, first, side="right"))
    changes = UserChanges.of(dataset)
    begin = Dataset.of(
        dataset.catalogue,
        events[:n_fed],
        dataset.impressions,
        dataset.config,
        item_changes=dataset.item_changes,
        profiles=changes.known_at_first(first),
    )
    items = _ItemsSoFar(dataset)
    feed: Feed = InProcess(begin) if online is None else Shared(begin, online, dataset, first)
    nothing = np.arange(0)
    found = [
        differences(dataset, queries.take(nothing), _part(whole, nothing), _part(whole, nothing), names=PARITY_SIDES),
    ]
    for number in range(len(queries)):
        n_known = int(np.searchsorted(known, queries.times[number], side="right"))
        if n_known > n_fed:
            feed.observe(events[n_fed:n_known])
            n_fed = n_known
        if len(rows := changes.since_last(int(queries.times[number]))):
            feed.observe_users(rows)
        row = np.array([number])
        query = queries.take(row)
        observed = items.known_at(int(query.times[0]), feed.dataset(dataset.users.gather(query.users), query))
        online_side = FeatureSnapshot.of(observed, matcher, ranker, query.within(dataset, observed))
        alone = FeatureSnapshot.of(dataset, matcher, ranker, query)
        found.append(differences(dataset, query, alone, online_side, names=PARITY_SIDES))
        together = _with_match_of(online_side, _part(whole, row))
        found.append(differences(dataset, query, together, online_side, names=PARITY_SIDES))
        if on_query is not None:
            on_query(1)
    return pl.concat(found).unique(maintain_order=True)


def _with_match_of(source: FeatureSnapshot, snapshot: FeatureSnapshot) -> FeatureSnapshot:
    """The snapshot with the match features and scores of `source`, so that only the others can differ from it."""
    others = {name: values for name, values in snapshot.features.values.items() if name not in MATCH_FEATURES}
    match = {name: source.features.values[name] for name in MATCH_FEATURES}
    features = PairFeatures(snapshot.features.candidates, others | match)
    return replace(snapshot, features=features, scores=source.scores)


def _part(snapshot: FeatureSnapshot, rows: IntArray) -> FeatureSnapshot:
    """The snapshot of the given queries."""
    pairs = snapshot.features.candidates.index_of(rows)
    return FeatureSnapshot(snapshot.histories.take(rows), snapshot.features.take(rows), snapshot.scores[pairs])
