"""Past moments to look at anew: who turned to something then, what is read about it, and where two readings differ."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_store.arrays import Float64Array, IntArray
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.matcher import Matcher
from recmem.ranking.features import PairFeatures, candidate_features
from recmem.ranking.ranker import Ranker

N_ITEMS = 10
"""Items that are asked about at a moment: those that the user turned to, and others."""
MEMORY, SCORE = "memory", "score"
"""What differs, where it is no column: the user's history, and the ranking score."""


@dataclass(frozen=True, eq=False)
class PastQueries:
    """Users at past times, in order of time, with rows of the catalogue."""

    users: IntArray
    """User rows."""
    times: IntArray
    """Microseconds."""
    items: Ragged

    @classmethod
    def sample(cls, dataset: Dataset, n: int, generator: np.random.Generator) -> PastQueries:
        """At most `n` moments at which a user did something, each with up to `N_ITEMS` distinct items.

        Where events were taken back, the last moment before and the first moment after that are among those drawn from.
        """
        user_rows, moments, item_rows = _deeds(dataset)
        order = np.lexsort((user_rows, moments))
        users, times = user_rows[order], moments[order]
        begins = np.flatnonzero(np.diff(users, prepend=-1) | np.diff(times, prepend=-1))
        chosen = np.sort(generator.choice(len(begins), min(n, len(begins)), replace=False))
        ends = np.append(begins, len(order))[chosen + 1]
        begins = begins[chosen]
        asked = [
            _items(item_rows[order[begin:end]], len(dataset.catalogue), generator)
            for begin, end in zip(begins, ends, strict=True)
        ]
        return cls(users[begins], times[begins], Ragged.from_lists(asked))

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: IntArray) -> PastQueries:
        """The given moments, in the given order."""
        return PastQueries(self.users[rows], self.times[rows], self.items.take(rows))

    def at(self, time: int) -> PastQueries:
        """The same users and items at another time."""
        return replace(self, times=np.full(len(self), time))

    def within(self, dataset: Dataset, other: Dataset) -> PastQueries:
        """The same moments with the user rows of another dataset."""
        return replace(self, users=other.user_rows(dataset.users.gather(self.users)))


@dataclass(frozen=True, eq=False)
class FeatureSnapshot:
    """What was read at some moments."""

    histories: Histories
    columns: PairFeatures
    scores: Float64Array
    """Of each item, by the ranker."""

    @classmethod
    def of(cls, dataset: Dataset, matcher: Matcher, ranker: Ranker, moments: PastQueries) -> FeatureSnapshot:
        """What the dataset's log says, as of each moment."""
        batch = QueryBatch.of(dataset, moments.users, moments.times)
        columns = candidate_features(dataset, matcher, batch, moments.items)
        return cls(batch.histories, columns, ranker.scores(columns))


def differences(dataset: Dataset, moments: PastQueries, one: FeatureSnapshot, other: FeatureSnapshot) -> pl.DataFrame:
    """Where two readings of the same moments differ in any bit: user_id, timestamp, item_id, what, one, other.

    A memory that differs has no item, and its items as text. `what` is a column, `MEMORY` or `SCORE`.
    """
    parts = [_memories(dataset, moments, one.histories, other.histories)]
    sides = [reading.columns.values | {SCORE: reading.scores} for reading in (one, other)]
    for what in sorted(sides[0].keys() | sides[1].keys()):
        values = [side.get(what, np.full(len(moments.items.values), np.nan)) for side in sides]
        is_other = (values[0] != values[1]) & ~(np.isnan(values[0]) & np.isnan(values[1]))
        rows = np.flatnonzero(is_other)
        if not len(rows):
            continue  # nearly always: frames of nothing would be a fourth of an audit's time
        told = [pl.Series(value[rows].astype(np.float64)).cast(pl.String) for value in values]
        parts.append(_rows(dataset, moments, moments.items.row_index[rows], moments.items.values[rows], what, told))
    return pl.concat(parts)


def _memories(dataset: Dataset, moments: PastQueries, one: Histories, other: Histories) -> pl.DataFrame:
    rows = [
        row
        for row in range(len(moments))
        if any(a.tolist() != b.tolist() for a, b in zip(_events(one, row), _events(other, row), strict=True))
    ]
    told = [
        pl.Series([_in_words(dataset, side.items.row(row)) for row in rows], dtype=pl.String) for side in (one, other)
    ]
    return _rows(dataset, moments, np.array(rows, np.int64), np.full(len(rows), -1), MEMORY, told)


def _events(history: Histories, row: int) -> tuple[NDArray[np.integer], ...]:
    mine = slice(*history.items.offsets[row : row + 2])
    return history.items.values[mine], history.times[mine], history.signs[mine], history.recency[mine]


def _in_words(dataset: Dataset, items: IntArray) -> str:
    return " ".join(map(str, dataset.catalogue.ids.gather(items).to_list()))


def _rows(
    dataset: Dataset, moments: PastQueries, rows: IntArray, items: IntArray, what: str, told: list[pl.Series]
) -> pl.DataFrame:
    place = pl.Series(items, dtype=pl.Int64)
    return pl.DataFrame(
        {
            "user_id": dataset.users.gather(moments.users[rows]).cast(pl.String),
            "timestamp": pl.Series(moments.times[rows], dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
            "item_id": dataset.catalogue.ids.gather(place.set(place < 0, None)).cast(pl.String),
            "what": pl.Series([what] * len(rows), dtype=pl.String),
            "one": told[0],
            "other": told[1],
        }
    )


def _deeds(dataset: Dataset) -> tuple[IntArray, IntArray, IntArray]:
    """Users, times and items of what was done and of what was taken back."""
    log, cancelled = dataset.log, dataset.cancelled
    if cancelled is None:
        return log.user_rows, log.times, log.item_rows
    others = (cancelled.log.times, cancelled.cancelled_at - 1, cancelled.cancelled_at)
    users = np.concatenate([log.user_rows, *[cancelled.log.user_rows] * len(others)])
    items = np.concatenate([log.item_rows, *[cancelled.log.item_rows] * len(others)])
    return users, np.concatenate([log.times, *others]), items


def _items(taken: IntArray, n_items: int, generator: np.random.Generator) -> IntArray:
    """The items that the user turned to, filled up with others at random."""
    own = np.unique(taken)[:N_ITEMS]
    return np.unique(np.append(own, generator.integers(n_items, size=N_ITEMS - len(own))))
