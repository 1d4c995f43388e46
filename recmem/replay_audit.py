"""Does a process that has observed the log bit by bit read what training joins? Past moments are replayed both ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl

from recmem.columns import PairColumns
from recmem.matcher import MATCH_COLUMNS
from recmem.model import Model
from recmem.moments import Moments, Reading, differences
from recmem.scene import Scene


def replay_audit(model: Model, moments: Moments, *, on_moment: Callable[[int], None] | None = None) -> pl.DataFrame:
    """Where the online reading of a moment differs in any bit from the offline join; none is right.

    Offline, the whole log is read as of all moments at once. Online, a scene begins with what was known at the first
    of them and observes each later event in its turn; it knows of nothing after the moment that it is asked about. The
    match and the ranking score, whose sums depend in their last bits on how many moments are scored at once, are held
    against the whole log read as of that moment alone.
    """
    scene = model.scene
    whole = Reading.of(scene, model.matcher, model.bundle.ranker, moments)
    known = pl.max_horizontal(pl.col("timestamp").dt.epoch("us") + 1, pl.col("available_at").dt.epoch("us"))
    events = scene.events.with_columns(known=known).sort("known")
    when, events = events["known"].to_numpy(), events.drop("known")
    n_fed = int(np.searchsorted(when, moments.times.min(initial=0), side="right"))
    online = Scene.of(scene.catalogue, events[:n_fed], scene.impressions, scene.config)
    found = [differences(scene, moments.take(np.arange(0)), _part(whole, np.arange(0)), _part(whole, np.arange(0)))]
    for number in range(len(moments)):
        n_known = int(np.searchsorted(when, moments.times[number], side="right"))
        if n_known > n_fed:
            online = online.with_events(events[n_fed:n_known])
            n_fed = n_known
        row = np.array([number])
        asked = moments.take(row)
        there = Reading.of(online, model.matcher, model.bundle.ranker, asked.within(scene, online))
        alone = Reading.of(scene, model.matcher, model.bundle.ranker, asked)
        found.append(differences(scene, asked, alone, there))
        together = _part(whole, row)
        joined = {name: column for name, column in together.columns.values.items() if name not in MATCH_COLUMNS}
        same_match = PairColumns(together.columns.candidates, joined | _match(there))
        found.append(differences(scene, asked, replace(together, columns=same_match, scores=there.scores), there))
        if on_moment is not None:
            on_moment(1)
    return pl.concat(found).unique(maintain_order=True)


def _match(reading: Reading) -> dict[str, np.ndarray]:
    return {name: reading.columns.values[name] for name in MATCH_COLUMNS}


def _part(reading: Reading, rows: np.ndarray) -> Reading:
    index = reading.columns.candidates.index_of(rows)
    return Reading(reading.histories.take(rows), reading.columns.take(rows), reading.scores[index])
