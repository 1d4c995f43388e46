"""Checks for leaks: what comes after a time is dropped or changed, and nothing read as of that time may change.

Cancelled events are removed as well, as if they had never been: nothing may change after their cancellation either.

Which rows are before a time is decided here, on the tables, independently of the code under audit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl

from feature_store.arrays import IntArray
from feature_store.cancellations import has_cancellations
from recmem.audit.past_queries import PastQueries
from recmem.audit.snapshots import FeatureSnapshot, differences
from recmem.dataset.dataset import Dataset
from recmem.dataset.user_profiles import UserProfiles
from recmem.serving.model import Model

LEAK_SIDES = ("as_is", "changed")
"""Columns of the two values in the audit's frame."""
QUERIES_PER_CUT = 100
MOVED_WITHIN = 10**9
"""Microseconds after a cut within which later events are moved."""
Change = Callable[[pl.DataFrame, pl.Expr], pl.DataFrame]
"""Changes the rows of a table that the expression picks."""


def leak_audit(
    model: Model,
    queries: PastQueries,
    *,
    n_cuts: int,
    generator: np.random.Generator,
    on_cut: Callable[[int], None] | None = None,
) -> pl.DataFrame:
    """What changes as of a time when everything that was not known before it is dropped, or moved and exchanged.

    The log is cut at `n_cuts` of the queries' times, evenly spread. At each, the users and items of up to
    `QUERIES_PER_CUT` queries are read as of that time. Gives the rows of `differences`, with the column `change`:
    dropped, moved, or never (cancelled events removed). There should be none.
    """
    found = []
    for time in _cuts(queries.times, n_cuts):
        own = np.flatnonzero(queries.times == time)[:QUERIES_PER_CUT]
        n_others = min(QUERIES_PER_CUT - len(own), len(queries))
        others = generator.choice(len(queries), n_others, replace=False)
        at_cut = queries.take(np.concatenate([own, others])).at(time)
        as_is = _snapshot(model, model.dataset, at_cut)
        for name, change in _changes(time, generator).items():
            changed = _changed(model.dataset, change, time)
            found.append(_differences(model, at_cut, as_is, changed, name))
        if has_cancellations(model.dataset.events):
            found.append(_differences(model, at_cut, as_is, _never_cancelled(model.dataset, time), "never"))
        if on_cut is not None:
            on_cut(1)
    return pl.concat(found)


def _cuts(times: IntArray, n: int) -> list[int]:
    """At most `n` of the distinct times, evenly spread."""
    distinct = np.unique(times)
    places = np.linspace(0, len(distinct) - 1, min(n, len(distinct))).astype(np.int64)
    return [int(time) for time in distinct[np.unique(places)]]


def _differences(
    model: Model, queries: PastQueries, as_is: FeatureSnapshot, changed: Dataset, change: str
) -> pl.DataFrame:
    snapshot = _snapshot(model, changed, queries.within(model.dataset, changed))
    found = differences(model.dataset, queries, as_is, snapshot, names=LEAK_SIDES)
    return found.with_columns(change=pl.lit(change))


def _snapshot(model: Model, dataset: Dataset, queries: PastQueries) -> FeatureSnapshot:
    return FeatureSnapshot.of(dataset, model.matcher, model.bundle.ranker, queries)


def _changed(dataset: Dataset, change: Change, time: int) -> Dataset:
    """The dataset after a change of what was not known before the time."""
    return Dataset.of(
        dataset.catalogue,
        change(dataset.events, ~_known_before(dataset.events, time)),
        change(dataset.impressions, ~_known_before(dataset.impressions, time)),
        dataset.config,
        item_changes=change(dataset.item_changes, ~_known_before(dataset.item_changes, time)),
        profiles=UserProfiles.of(
            change(dataset.profiles.table, ~_known_before(dataset.profiles.table, time)), dataset.profiles.interests
        ),
    )


def _never_cancelled(dataset: Dataset, time: int) -> Dataset:
    """The dataset without the events that were cancelled before the time, and without these cancellations."""
    known = _known_before(dataset.events, time)
    cancellations = dataset.events.filter(known, pl.col("cancels").is_not_null())
    cancelled_keys = ["event_id", "user_id", "item_id"]
    cancelling_keys = ["cancels", "user_id", "item_id"]
    left = dataset.events.join(cancellations, left_on=cancelled_keys, right_on=cancelling_keys, how="anti")
    left = left.filter(~known | pl.col("cancels").is_null())
    without = Dataset.of(
        dataset.catalogue,
        left,
        dataset.impressions,
        dataset.config,
        item_changes=dataset.item_changes,
        profiles=dataset.profiles,
    )
    # Co-visitation is as of its last refresh, when an event that is cancelled by now may still have counted.
    return replace(without, timeline=dataset.timeline)


def _known_before(table: pl.DataFrame, time: int) -> pl.Expr:
    """Rows that happened before a time and had arrived by then."""
    # What is known of users may have no timestamp: then it always held.
    before = pl.col("timestamp").is_null() | (pl.col("timestamp").dt.epoch("us") < time)
    if "available_at" not in table.columns:
        return before
    return before & (pl.col("available_at").is_null() | (pl.col("available_at").dt.epoch("us") <= time))


def _changes(time: int, generator: np.random.Generator) -> dict[str, Change]:
    def dropped(table: pl.DataFrame, later: pl.Expr) -> pl.DataFrame:
        return table.filter(~later)

    def moved(table: pl.DataFrame, later: pl.Expr) -> pl.DataFrame:
        """Later rows at other times after the cut, with exchanged items or users and inverted labels."""
        rows = table.filter(later)
        micros = pl.Series(time + generator.integers(0, MOVED_WITHIN, len(rows)), dtype=pl.Int64)
        times = micros.cast(pl.Datetime("us", "UTC")).cast(table.schema["timestamp"])
        exchanged = rows["item_id" if "item_id" in table.columns else "user_id"]
        changed = rows.with_columns(times.alias("timestamp"), exchanged.gather(generator.permutation(len(rows))))
        if "label" in table.columns:
            changed = changed.with_columns((1 - pl.col("label")).cast(table.schema["label"]).alias("label"))
        return pl.concat([table.filter(~later), changed])

    return {"dropped": dropped, "moved": moved}
