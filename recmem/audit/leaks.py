"""Does anything at or after a moment reach what is read at it? The log is cut or changed there, and read anew.

Where events were taken back before it, they are dropped too, as if they had never been, and nothing may change either.

What counts as before is said here once more, on the tables themselves, and not asked of the code that is under audit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl

from feature_store.cancellations import has_cancellations
from recmem.audit.snapshots import FeatureSnapshot, PastQueries, differences
from recmem.dataset.dataset import Dataset
from recmem.serving.model import Model

QUERIES_PER_CUT = 100
"""Users that are looked at at one moment."""
Change = Callable[[pl.DataFrame, pl.Expr], pl.DataFrame]


def leak_audit(
    model: Model,
    moments: PastQueries,
    *,
    n_cuts: int,
    generator: np.random.Generator,
    on_cut: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """What changes at a moment when all that was not known before it is dropped, or moved and exchanged.

    `n_cuts` of the moments, evenly spread; at each, the users of up to `QUERIES_PER_CUT` moments are asked about as of
    then. Rows as `differences` gives them, with `change`: dropped, moved or never. None is right.
    """
    found = []
    chosen = np.unique(moments.times)
    for time in chosen[np.unique(np.linspace(0, len(chosen) - 1, min(n_cuts, len(chosen))).astype(np.int64))]:
        own = np.flatnonzero(moments.times == time)[:QUERIES_PER_CUT]
        others = generator.choice(len(moments), min(QUERIES_PER_CUT - len(own), len(moments)), replace=False)
        asked = moments.take(np.concatenate([own, others])).at(int(time))
        as_is = _snapshot(model, model.dataset, asked)
        for name, change in _changes(int(time), generator).items():
            dataset = model.dataset
            changed = Dataset.of(
                dataset.catalogue,
                change(dataset.events, ~_known_before(dataset.events, int(time))),
                change(dataset.impressions, ~_known_before(dataset.impressions, int(time))),
                dataset.config,
            )
            differ = differences(dataset, asked, as_is, _snapshot(model, changed, asked.within(dataset, changed)))
            found.append(differ.with_columns(change=pl.lit(name)))
        if has_cancellations(model.dataset.events):
            differ = _as_if_never(model, asked, int(time), as_is)
            found.append(differ.with_columns(change=pl.lit("never")))
        if on_cut is not None:
            on_cut(1)
    return pl.concat(found)


def _as_if_never(model: Model, moments: PastQueries, time: int, as_is: FeatureSnapshot) -> pl.DataFrame:
    """What changes when events that were taken back before the moment are left out of the tables."""
    dataset, known = model.dataset, _known_before(model.dataset.events, time)
    orders = dataset.events.filter(known, pl.col("cancels").is_not_null())
    keys = (["event_id", "user_id", "item_id"], ["cancels", "user_id", "item_id"])
    left = dataset.events.join(orders, left_on=keys[0], right_on=keys[1], how="anti")
    left = left.filter(~known | pl.col("cancels").is_null())
    changed = Dataset.of(dataset.catalogue, left, dataset.impressions, dataset.config)
    # The item-item models are as of a refresh, when an event that is gone by now may still have counted.
    changed = replace(changed, timeline=dataset.timeline)
    return differences(dataset, moments, as_is, _snapshot(model, changed, moments.within(dataset, changed)))


def _snapshot(model: Model, dataset: Dataset, moments: PastQueries) -> FeatureSnapshot:
    return FeatureSnapshot.of(dataset, model.matcher, model.bundle.ranker, moments)


def _known_before(table: pl.DataFrame, time: int) -> pl.Expr:
    """Rows that happened before a time and had arrived by then."""
    before = pl.col("timestamp").dt.epoch("us") < time
    if "available_at" not in table.columns:
        return before
    return before & (pl.col("available_at").is_null() | (pl.col("available_at").dt.epoch("us") <= time))


def _changes(time: int, generator: np.random.Generator) -> dict[str, Change]:
    def dropped(table: pl.DataFrame, later: pl.Expr) -> pl.DataFrame:
        return table.filter(~later)

    def moved(table: pl.DataFrame, later: pl.Expr) -> pl.DataFrame:
        rows = table.filter(later)
        at = pl.Series(time + generator.integers(0, 10**9, len(rows)), dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
        items = rows["item_id"].gather(generator.permutation(len(rows)))
        changed = rows.with_columns(at.cast(table.schema["timestamp"]).alias("timestamp"), items)
        if "label" in table.columns:
            changed = changed.with_columns((1 - pl.col("label")).cast(table.schema["label"]).alias("label"))
        return pl.concat([table.filter(~later), changed])

    return {"dropped": dropped, "moved": moved}
