"""What is read for past queries, and where two such snapshots differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_store.arrays import Float64Array, IntArray
from feature_store.point_in_time.histories import Histories
from recmem.audit.past_queries import PastQueries
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.matching.matcher import Matcher
from recmem.ranking.given_features import candidate_features
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Ranker

MEMORY = "memory"
SCORE = "score"
"""Values of `what` that are no feature: the user's history, and the ranking score."""


@dataclass(frozen=True, eq=False)
class FeatureSnapshot:
    """Memories, features and scores of some past queries, as one dataset gives them."""

    histories: Histories
    features: PairFeatures
    scores: Float64Array
    """Ranking score of each pair."""

    @classmethod
    def of(cls, dataset: Dataset, matcher: Matcher, ranker: Ranker, queries: PastQueries) -> FeatureSnapshot:
        """What the dataset gives as of each query's time. The queries' user rows must be the dataset's."""
        batch = QueryBatch.of(dataset, queries.users, queries.times)
        features = candidate_features(dataset, matcher, batch, queries.items)
        return cls(batch.histories, features, ranker.scores(features))


def differences(
    dataset: Dataset,
    queries: PastQueries,
    first: FeatureSnapshot,
    second: FeatureSnapshot,
    *,
    names: tuple[str, str],
) -> pl.DataFrame:
    """Where two snapshots of the same queries differ in any bit.

    Columns: user_id, timestamp, item_id, what, and the two values as text in the columns of these `names`. `what` is a
    feature, `SCORE` or `MEMORY`; a memory has no item_id, and its values are its item ids.
    """
    parts = [_memory_differences(dataset, queries, first.histories, second.histories, names)]
    first_values = first.features.values | {SCORE: first.scores}
    second_values = second.features.values | {SCORE: second.scores}
    missing = np.full(len(queries.items.values), np.nan)
    for what in sorted(first_values.keys() | second_values.keys()):
        left = first_values.get(what, missing)
        right = second_values.get(what, missing)
        both_nan = np.isnan(left) & np.isnan(right)
        pairs = np.flatnonzero((left != right) & ~both_nan)
        if not len(pairs):
            continue  # the usual case: building empty frames would take a quarter of an audit's time
        values = [pl.Series(side[pairs].astype(np.float64)).cast(pl.String) for side in (left, right)]
        rows = queries.items.row_index[pairs]
        parts.append(
            _rows(dataset, queries, rows, queries.items.values[pairs], what, dict(zip(names, values, strict=True)))
        )
    return pl.concat(parts)


def _memory_differences(
    dataset: Dataset, queries: PastQueries, first: Histories, second: Histories, names: tuple[str, str]
) -> pl.DataFrame:
    rows = [row for row in range(len(queries)) if _events(first, row) != _events(second, row)]
    values = {
        name: pl.Series([_id_text(dataset, side.items.row(row)) for row in rows], dtype=pl.String)
        for name, side in zip(names, (first, second), strict=True)
    }
    return _rows(dataset, queries, np.array(rows, np.int64), np.full(len(rows), -1), MEMORY, values)


def _events(histories: Histories, row: int) -> list[list[int]]:
    """Items, times, signs and ages of one history."""
    mine = slice(*histories.items.offsets[row : row + 2])
    columns: tuple[NDArray[np.integer], ...] = (
        histories.items.values,
        histories.times,
        histories.signs,
        histories.recency,
    )
    return [column[mine].tolist() for column in columns]


def _id_text(dataset: Dataset, items: IntArray) -> str:
    return " ".join(map(str, dataset.catalogue.ids.gather(items).to_list()))


def _rows(
    dataset: Dataset, queries: PastQueries, rows: IntArray, items: IntArray, what: str, values: dict[str, pl.Series]
) -> pl.DataFrame:
    """Rows for the given queries; an item of -1 becomes null."""
    item = pl.Series(items, dtype=pl.Int64)
    return pl.DataFrame(
        {
            "user_id": dataset.users.gather(queries.users[rows]).cast(pl.String),
            "timestamp": pl.Series(queries.times[rows], dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
            "item_id": dataset.catalogue.ids.gather(item.set(item < 0, None)).cast(pl.String),
            "what": pl.Series([what] * len(rows), dtype=pl.String),
            **values,
        }
    )
