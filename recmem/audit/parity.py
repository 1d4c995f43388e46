"""Checks parity: past queries are replayed in batch and online, and the features must be equal.

Batch: the whole log is joined as of every query, as in training. Online: a dataset observes event after event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl

from feature_store.arrays import IntArray
from feature_store.point_in_time.as_of_join import when_known
from feature_store.point_in_time.newest_rows import when_change_known
from recmem.audit.item_changes import ItemChanges
from recmem.audit.known_rows import KnownRows
from recmem.audit.online_side import InProcess, InSharedMemories, OnlineSide
from recmem.audit.past_queries import PastQueries
from recmem.audit.snapshots import FeatureSnapshot, differences
from recmem.dataset.dataset import Dataset
from recmem.dataset.shared_memories import RedisMemories
from recmem.dataset.user_profiles import UserProfiles
from recmem.matching.matcher import MATCH_FEATURES
from recmem.ranking.pair_features import PairFeatures
from recmem.serving.model import Model

PARITY_SIDES = ("batch", "online")
"""Columns of the two values in the audit's frame."""


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
    first = int(queries.times[0]) if len(queries) else 0
    events = KnownRows.of(dataset.events, when_known())
    users = KnownRows.of(dataset.profiles.table, when_change_known())
    begin = Dataset.of(
        dataset.catalogue,
        events.since_last(first),
        dataset.impressions,
        dataset.config,
        item_changes=dataset.item_changes,
        profiles=UserProfiles.of(users.since_last(first), dataset.profiles.interests),
    )
    items = ItemChanges(dataset)
    side: OnlineSide = InProcess(begin) if online is None else InSharedMemories(begin, online, dataset, first)
    nothing = np.arange(0)
    found = [
        differences(dataset, queries.take(nothing), _part(whole, nothing), _part(whole, nothing), names=PARITY_SIDES),
    ]
    for number, time in enumerate(queries.times.tolist()):
        if len(new_events := events.since_last(time)):
            side.observe(new_events)
        if len(new_rows := users.since_last(time)):
            side.observe_users(new_rows)
        row = np.array([number])
        query = queries.take(row)
        observed = items.known_at(time, side.dataset(dataset.users.gather(query.users), query))
        online_snapshot = FeatureSnapshot.of(observed, matcher, ranker, query.within(dataset, observed))
        alone = FeatureSnapshot.of(dataset, matcher, ranker, query)
        found.append(differences(dataset, query, alone, online_snapshot, names=PARITY_SIDES))
        together = _with_match_of(online_snapshot, _part(whole, row))
        found.append(differences(dataset, query, together, online_snapshot, names=PARITY_SIDES))
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
