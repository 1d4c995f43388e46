"""Does a process that has observed the log bit by bit read what training joins? Past moments are replayed both ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
import polars as pl

from feature_store.point_in_time import when_known
from recmem.audit.snapshots import Moments, Reading, differences
from recmem.dataset.dataset import Scene
from recmem.dataset.shared_memories import RedisMemories, at_hand, publish, write
from recmem.matching.matcher import MATCH_COLUMNS
from recmem.ranking.features import PairColumns
from recmem.serving.model import Model


class Feed(Protocol):
    """Where events arrive, and what is read meanwhile."""

    def observe(self, events: pl.DataFrame) -> None:
        """Takes events in."""
        ...

    def scene(self, users: pl.Series, moments: Moments) -> Scene:
        """What is known by now, with what is asked about of these users at hand."""
        ...


class InProcess:
    """Events kept by the process itself."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def observe(self, events: pl.DataFrame) -> None:
        """See `Feed`."""
        self._scene = self._scene.with_events(events)

    def scene(self, users: pl.Series, moments: Moments) -> Scene:
        """See `Feed`."""
        return self._scene


class Shared:
    """Events kept by online memories; the item-item models are those of tables that are loaded at every refresh."""

    def __init__(self, scene: Scene, memories: RedisMemories, whole: Scene, first: int) -> None:
        """`scene`: what was known at the moment `first`; `whole`: all there is."""
        self._scene, self._memories = replace(scene, timeline=whole.timeline), memories
        publish(scene, memories, answers_from=first)

    def observe(self, events: pl.DataFrame) -> None:
        """See `Feed`."""
        write(self._scene, self._memories, events)

    def scene(self, users: pl.Series, moments: Moments) -> Scene:
        """See `Feed`."""
        items, at = moments.items.values, moments.times[moments.items.row_index]
        return at_hand(self._scene, self._memories, users, moments.times, items, at)[0]


def replay_audit(
    model: Model,
    moments: Moments,
    *,
    online: RedisMemories | None = None,
    on_moment: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """Where the online reading of a moment differs in any bit from the offline join; none is right.

    Offline, the whole log is read as of all moments at once. Online, a scene begins with what was known at the first
    of them and observes each later event in its turn, in the process or through `online` memories, which must be of a
    name that holds nothing; it knows of nothing after the moment that it is asked about. The match and the ranking
    score, whose sums depend in their last bits on how many moments are scored at once, are held against the whole log
    read as of that moment alone.
    """
    scene = model.scene
    whole = Reading.of(scene, model.matcher, model.bundle.ranker, moments)
    events = scene.events.with_columns(known=when_known()).sort("known")
    when, events = events["known"].to_numpy(), events.drop("known")
    first = int(moments.times[0]) if len(moments) else 0
    n_fed = int(np.searchsorted(when, first, side="right"))
    begin = Scene.of(scene.catalogue, events[:n_fed], scene.impressions, scene.config)
    feed: Feed = InProcess(begin) if online is None else Shared(begin, online, scene, first)
    found = [differences(scene, moments.take(np.arange(0)), _part(whole, np.arange(0)), _part(whole, np.arange(0)))]
    for number in range(len(moments)):
        n_known = int(np.searchsorted(when, moments.times[number], side="right"))
        if n_known > n_fed:
            feed.observe(events[n_fed:n_known])
            n_fed = n_known
        row = np.array([number])
        asked = moments.take(row)
        there = feed.scene(scene.users.gather(asked.users), asked)
        online_reading = Reading.of(there, model.matcher, model.bundle.ranker, asked.within(scene, there))
        alone = Reading.of(scene, model.matcher, model.bundle.ranker, asked)
        found.append(differences(scene, asked, alone, online_reading))
        together = _part(whole, row)
        joined = {name: column for name, column in together.columns.values.items() if name not in MATCH_COLUMNS}
        same_match = PairColumns(together.columns.candidates, joined | _match(online_reading))
        offline = replace(together, columns=same_match, scores=online_reading.scores)
        found.append(differences(scene, asked, offline, online_reading))
        if on_moment is not None:
            on_moment(1)
    return pl.concat(found).unique(maintain_order=True)


def _match(reading: Reading) -> dict[str, np.ndarray]:
    return {name: reading.columns.values[name] for name in MATCH_COLUMNS}


def _part(reading: Reading, rows: np.ndarray) -> Reading:
    index = reading.columns.candidates.index_of(rows)
    return Reading(reading.histories.take(rows), reading.columns.take(rows), reading.scores[index])
