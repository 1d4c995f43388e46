"""Queries with known answers, from the event log or from impressions: what training and evaluation rank.

A query is a user at a time. Its positives are the items that the user interacts with at that time, by default only
those that are new to the user, or the clicked ones of an impression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from feature_store import EventLog
from feature_store.arrays import BoolArray, Float32Array, Int8Array, IntArray
from feature_store.point_in_time.cancelled_events import CancelledEvents
from feature_store.point_in_time.event_log import rows_of
from feature_store.ragged import Ragged
from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.dataset import Dataset
from recmem.dataset.row_groups import group_rows, query_keys

NO_EVENT_YET = np.iinfo(np.int64).max
UNKNOWN_POSITION = np.iinfo(np.int64).min
"""Of an item that was shown without a position."""


@dataclass(frozen=True, eq=False)
class Queries:
    """Queries with at least one positive each, in order of time; arrays have one entry per query."""

    users: IntArray
    """User rows."""
    times: IntArray
    """Microseconds."""
    positives: Ragged
    """Item rows that the user interacts with at that time; if repeats are left out, had not before."""

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: IntArray) -> Queries:
        """The given queries, in the given order."""
        return Queries(self.users[rows], self.times[rows], self.positives.take(rows))

    def spread(self, limit: int) -> Queries:
        """At most `limit` queries, evenly spread over their order."""
        return self if len(self) <= limit else self.take(evenly(len(self), limit))

    def to_frame(self) -> pl.DataFrame:
        """A row per query: `user` (a row number), `time` (microseconds) and `positives` (a list of item rows)."""
        return pl.DataFrame({"user": self.users, "time": self.times, "positives": self.positives.to_lists()})

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> Queries:
        """What `to_frame` gave."""
        users = frame["user"].to_numpy().copy()
        times = frame["time"].to_numpy().copy()
        return cls(users, times, Ragged.from_lists(frame["positives"].to_list()))

    def without_spread(self, limit: int) -> Queries:
        """The queries that `spread` leaves out."""
        chosen = evenly(len(self), min(limit, len(self)))
        return self.take(np.setdiff1d(np.arange(len(self)), chosen))

    @classmethod
    def concat(cls, parts: Sequence[Queries]) -> Queries:
        """The queries of all parts, one part after the other."""
        return cls(
            np.concatenate([part.users for part in parts]),
            np.concatenate([part.times for part in parts]),
            Ragged.concat([part.positives for part in parts]),
        )


@dataclass(frozen=True, eq=False)
class ImpressionQueries:
    """Impressions as queries, in order of time: what was shown, and what of it was clicked.

    The rows of one are those of a user at a time with one `impression_id`, as in serving.
    """

    users: IntArray
    """User rows, one per impression."""
    times: IntArray
    """Microseconds, one per impression."""
    candidates: Ragged
    """Item rows that were shown; those of unknown items are left out."""
    labels: Int8Array
    """1 for a click; one entry per value of `candidates`."""
    given_features: dict[str, Float32Array] = field(default_factory=dict)
    """What the candidates bring along for the ranker, by the name of the column: an entry per value of `candidates`."""
    weights: Float32Array | None = None
    """How much each shown item counts in the ranker's fit; None where all count the same."""
    positions: IntArray | None = None
    """Where each item was shown, `UNKNOWN_POSITION` where that is not known; None where it is of none."""

    @classmethod
    def of(cls, dataset: Dataset) -> ImpressionQueries | None:
        """The impressions of a dataset; None if it has none."""
        table = dataset.impressions
        if not len(table):
            return None
        item_rows = rows_of(table["item_id"], dataset.catalogue.ids)
        user_rows = rows_of(table["user_id"], dataset.users)
        query_of_row = pl.Series(impression_of_row(table))
        known = table.with_columns(item=item_rows, user=user_rows, query=query_of_row).filter(item_rows >= 0)
        ordered = known.sort("timestamp", "impression_id", "position", "item_id", nulls_last=True, maintain_order=True)
        first = pl.col("user", "timestamp", "impression_id").first()
        own = {feature.name: feature for feature in dataset.config.candidate_features}
        names = {name: f"feature {number}" for number, name in enumerate(own)}
        ordered = ordered.with_columns(
            pl.Series(names[name], feature.values(_column(ordered, feature))) for name, feature in own.items()
        )
        columns = [name for name in ("weight", "position") if name in ordered.columns and ordered[name].count()]
        of_rows = ("item", "label", *columns, *names.values())
        impressions = ordered.group_by("query", maintain_order=True).agg(*of_rows, first)
        impressions = impressions.rename({"timestamp": "time"}).sort("time", "impression_id", "user")
        weights = None
        if "weight" in columns:
            weights = impressions["weight"].explode().fill_null(1.0).to_numpy().astype(np.float32)
        positions = None
        if "position" in columns:
            positions = impressions["position"].explode().cast(pl.Int64).fill_null(UNKNOWN_POSITION).to_numpy().copy()
        return cls(
            users=impressions["user"].to_numpy().copy(),
            times=impressions["time"].dt.epoch("us").to_numpy().copy(),
            candidates=Ragged.from_lists(impressions["item"].to_list()),
            labels=impressions["label"].explode().to_numpy().astype(np.int8),
            given_features={
                name: impressions[values].explode().to_numpy().astype(np.float32) for name, values in names.items()
            },
            weights=weights,
            positions=positions,
        )

    def between(self, begin: int, end: int) -> ImpressionQueries:
        """The impressions with `begin < timestamp <= end`."""
        return self.take(np.flatnonzero((self.times > begin) & (self.times <= end)))

    def queries(self) -> Queries:
        """The same queries with the clicked items as their positives, of which some have none."""
        clicked = self.labels > 0
        n_clicked = np.bincount(self.candidates.row_index[clicked], minlength=self.candidates.n_rows)
        return Queries(self.users, self.times, Ragged.from_lengths(self.candidates.values[clicked], n_clicked))

    def take(self, rows: IntArray) -> ImpressionQueries:
        """The given impressions, in the given order."""
        index = self.candidates.index_of(rows)
        given = {name: column[index] for name, column in self.given_features.items()}
        candidates = self.candidates.take(rows)
        weights = None if self.weights is None else self.weights[index]
        positions = None if self.positions is None else self.positions[index]
        return ImpressionQueries(
            self.users[rows], self.times[rows], candidates, self.labels[index], given, weights, positions
        )

    def spread(self, limit: int) -> ImpressionQueries:
        """At most `limit` impressions, evenly spread over their order."""
        n_impressions = len(self.users)
        return self if n_impressions <= limit else self.take(evenly(n_impressions, limit))


def _column(impressions: pl.DataFrame, feature: CandidateFeature) -> pl.Series:
    """The feature's column of the impressions; nulls for a store that has none."""
    if feature.name not in impressions.columns:
        return pl.Series([None] * impressions.height, dtype=feature.dtype)
    return impressions[feature.name].cast(feature.dtype, strict=False)


def impression_of_row(impressions: pl.DataFrame) -> IntArray:
    """The impression that each row of a store's `impressions` table belongs to, numbered from 0: int64[row]."""
    times = impressions["timestamp"].dt.epoch("us").to_numpy()
    return group_rows(query_keys(impressions["user_id"], times, impressions["impression_id"]))[0]


def queries_of(dataset: Dataset, begin: int, end: int) -> Queries:
    """The queries of a dataset with `begin < timestamp <= end`, from what was valid at `end`.

    Items that a user had before are positives where the dataset counts repeats.
    """
    return queries_between(dataset.log_at(end), begin, end, cancelled=dataset.cancelled, repeats=dataset.config.repeats)


def queries_between(
    log: EventLog,
    begin: int,
    end: int,
    *,
    with_history: bool = True,
    cancelled: CancelledEvents | None = None,
    repeats: bool = False,
) -> Queries:
    """Queries of all (user, timestamp) with `begin < timestamp <= end` and at least one positive.

    `with_history` keeps those of users with at least one earlier event; otherwise those without any are returned. An
    event that was cancelled later (`cancelled`) is part of the history until then, and its item is not new. An item
    that is not new to the user is a positive only if `repeats` count.
    """
    order = np.lexsort((log.item_rows, log.user_rows, log.times))
    is_inside = (log.times[order] > begin) & (log.times[order] <= end)
    is_positive = log.signs[order] > 0
    # Events that may be positives, by time, then user, then item: all arrays below have one entry for each of them.
    inside = order[is_inside & is_positive]
    users = log.user_rows[inside]
    times = log.times[inside]
    items = log.item_rows[inside]
    is_wanted = np.ones(len(inside), bool) if repeats else _first_times(log)[inside] == times
    has_history = log.by_user.counts(users, times) > 0
    if cancelled is not None:
        # Cancelled events that still counted at the time of the query: one row per event of `inside`.
        counted = cancelled.seen(users, times)
        has_history |= counted.lengths > 0
        is_same_item = counted.values == items[counted.row_index]
        if not repeats:
            is_wanted[counted.row_index[is_same_item]] = False
    kept = is_wanted & (has_history if with_history else ~has_history)
    # Several events of one user, time and item make one positive.
    kept &= _differs_from_previous(users, times, items)
    users = users[kept]
    times = times[kept]
    items = items[kept]
    # The positives of one (user, time) stand next to each other.
    starts = np.flatnonzero(_differs_from_previous(users, times))
    offsets = np.append(starts, len(items)).astype(np.int64)
    return Queries(users[starts], times[starts], Ragged(items, offsets))


def evenly(n: int, limit: int) -> IntArray:
    """`limit` row numbers from the first to the last of `n` rows: int64[limit]."""
    rows: IntArray = np.linspace(0, n - 1, limit).astype(np.int64)
    return rows


def _differs_from_previous(*columns: IntArray) -> BoolArray:
    """For each row, whether any of its columns differs from the row before; the first row always does."""
    differs = np.zeros(len(columns[0]), bool)
    differs[:1] = True
    for column in columns:
        differs[1:] |= column[1:] != column[:-1]
    return differs


def _first_times(log: EventLog) -> IntArray:
    """For every event, when its user first interacted with its item."""
    n_items = int(log.item_rows.max(initial=0)) + 1
    # User and item as one number.
    pairs = log.user_rows * n_items + log.item_rows
    _, pair_of_event = np.unique(pairs, return_inverse=True)
    n_pairs = int(pair_of_event.max(initial=-1)) + 1
    first = np.full(n_pairs, NO_EVENT_YET)
    np.minimum.at(first, pair_of_event, log.times)
    return first[pair_of_event]
