"""Does a process that has observed the log bit by bit read what training joins? Past moments are replayed both ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
import polars as pl

from feature_store.point_in_time.as_of_index import when_known
from recmem.audit.snapshots import FeatureSnapshot, PastQueries, differences
from recmem.dataset.dataset import Dataset
from recmem.dataset.shared_memories import RedisMemories, publish, with_shared_memories, write
from recmem.matching.matcher import MATCH_FEATURES
from recmem.ranking.features import PairFeatures
from recmem.serving.model import Model


class Feed(Protocol):
    """Where events arrive, and what is read meanwhile."""

    def observe(self, events: pl.DataFrame) -> None:
        """Takes events in."""
        ...

    def dataset(self, users: pl.Series, moments: PastQueries) -> Dataset:
        """What is known by now, with what is asked about of these users at hand."""
        ...


class InProcess:
    """Events kept by the process itself."""

    def __init__(self, dataset: Dataset) -> None:
        self._scene = dataset

    def observe(self, events: pl.DataFrame) -> None:
        """See `Feed`."""
        self._scene = self._scene.with_events(events)

    def dataset(self, users: pl.Series, moments: PastQueries) -> Dataset:
        """See `Feed`."""
        return self._scene


class Shared:
    """Events kept by online memories; the item-item models are those of tables that are loaded at every refresh."""

    def __init__(self, dataset: Dataset, memories: RedisMemories, whole: Dataset, first: int) -> None:
        """`dataset`: what was known at the moment `first`; `whole`: all there is."""
        self._scene, self._memories = replace(dataset, timeline=whole.timeline), memories
        publish(dataset, memories, answers_from=first)

    def observe(self, events: pl.DataFrame) -> None:
        """See `Feed`."""
        write(self._scene, self._memories, events)

    def dataset(self, users: pl.Series, moments: PastQueries) -> Dataset:
        """See `Feed`."""
        items, at = moments.items.values, moments.times[moments.items.row_index]
        return with_shared_memories(self._scene, self._memories, users, moments.times, items, at)[0]


def replay_audit(
    model: Model,
    moments: PastQueries,
    *,
    online: RedisMemories | None = None,
    on_moment: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """Where the online reading of a moment differs in any bit from the offline join; none is right.

    Offline, the whole log is read as of all moments at once. Online, a dataset begins with what was known at the first
    of them and observes each later event in its turn, in the process or through `online` memories, which must be of a
    name that holds nothing; it knows of nothing after the moment that it is asked about. The match and the ranking
    score, whose sums depend in their last bits on how many moments are scored at once, are held against the whole log
    read as of that moment alone.
    """
    dataset = model.dataset
    whole = FeatureSnapshot.of(dataset, model.matcher, model.bundle.ranker, moments)
    events = dataset.events.with_columns(known=when_known()).sort("known")
    when, events = events["known"].to_numpy(), events.drop("known")
    first = int(moments.times[0]) if len(moments) else 0
    n_fed = int(np.searchsorted(when, first, side="right"))
    begin = Dataset.of(dataset.catalogue, events[:n_fed], dataset.impressions, dataset.config)
    feed: Feed = InProcess(begin) if online is None else Shared(begin, online, dataset, first)
    found = [differences(dataset, moments.take(np.arange(0)), _part(whole, np.arange(0)), _part(whole, np.arange(0)))]
    for number in range(len(moments)):
        n_known = int(np.searchsorted(when, moments.times[number], side="right"))
        if n_known > n_fed:
            feed.observe(events[n_fed:n_known])
            n_fed = n_known
        row = np.array([number])
        asked = moments.take(row)
        there = feed.dataset(dataset.users.gather(asked.users), asked)
        online_snapshot = FeatureSnapshot.of(there, model.matcher, model.bundle.ranker, asked.within(dataset, there))
        alone = FeatureSnapshot.of(dataset, model.matcher, model.bundle.ranker, asked)
        found.append(differences(dataset, asked, alone, online_snapshot))
        together = _part(whole, row)
        joined = {name: column for name, column in together.columns.values.items() if name not in MATCH_FEATURES}
        same_match = PairFeatures(together.columns.candidates, joined | _match(online_snapshot))
        offline = replace(together, columns=same_match, scores=online_snapshot.scores)
        found.append(differences(dataset, asked, offline, online_snapshot))
        if on_moment is not None:
            on_moment(1)
    return pl.concat(found).unique(maintain_order=True)


def _match(reading: FeatureSnapshot) -> dict[str, np.ndarray]:
    return {name: reading.columns.values[name] for name in MATCH_FEATURES}


def _part(reading: FeatureSnapshot, rows: np.ndarray) -> FeatureSnapshot:
    index = reading.columns.candidates.index_of(rows)
    return FeatureSnapshot(reading.histories.take(rows), reading.columns.take(rows), reading.scores[index])
