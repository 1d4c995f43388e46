"""Histories that come with the candidates and replace the user's events: the `history` column of a frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store.arrays import BoolArray, IntArray
from feature_store.cell_parsing import parse_ids
from feature_store.point_in_time.event_log import rows_of
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.dataset.catalogue import Catalogue
from recmem.matching.user_memory import HISTORY

NOT_GIVEN = -1
"""Length of the history of a query that came without one: its events are read from the log."""
_NO_ID = ""
"""Stands for a cell that cannot be an id. No item of a store has this id."""


def history_lists(frame: pl.DataFrame) -> pl.Series | None:
    """The `history` column as lists of text, oldest first, without nulls inside; null where the row gives none.

    Ids are written as `parse_ids` reads them, those that cannot be ids as empty text, which is no item's. None where no
    row can have a history: the column is missing or of type Null.
    """
    if "history" not in frame.columns or frame["history"].dtype == pl.Null:
        return None
    given = frame["history"]
    lists = given.arr.to_list() if isinstance(given.dtype, pl.Array) else given
    lists = lists.list.drop_nulls()
    if lists.dtype == pl.List(pl.String) or lists.list.len().sum() == 0:
        return lists.cast(pl.List(pl.String))
    cells = lists.drop_nulls().explode(empty_as_null=False, keep_nulls=False)
    ids = parse_ids(cells, pl.String())[0].fill_null(_NO_ID)
    lengths = lists.list.len().fill_null(0).cast(pl.Int64).to_numpy()
    return _in_lists(ids, lengths, lists.is_not_null())


def _in_lists(ids: pl.Series, lengths: IntArray, is_given: pl.Series) -> pl.Series:
    """The ids as one list per row, null where none is given; `lengths` is int64[row]."""
    of_row = pl.DataFrame({"row": np.repeat(np.arange(len(lengths)), lengths), "history": ids})
    grouped = of_row.group_by("row", maintain_order=True).agg("history")
    rows = pl.DataFrame({"row": np.arange(len(lengths)), "is_given": is_given})
    joined = rows.join(grouped, on="row", how="left", maintain_order="left")
    empty = pl.lit([], pl.List(pl.String))
    return joined.select(history=pl.when("is_given").then(pl.col("history").fill_null(empty))).to_series()


@dataclass(frozen=True, eq=False)
class GivenHistories:
    """The given histories of some queries, read against the catalogue."""

    is_given: BoolArray
    """bool[query]"""
    items: Ragged
    """Per query the rows of the known items, oldest first; empty where no history is given."""
    n_unknown_items: int
    """Items in the lists that the catalogue lacks; they are left out."""

    @classmethod
    def of(cls, lists: pl.Series, catalogue: Catalogue) -> GivenHistories:
        """Looks up the items of `lists`: one list of ids per query, null where none is given."""
        lengths = lists.list.len().fill_null(0).cast(pl.Int64).to_numpy()
        ids = parse_ids(lists.drop_nulls().explode(empty_as_null=False, keep_nulls=False), catalogue.ids.dtype)[0]
        rows = Ragged.from_lengths(rows_of(ids, catalogue.ids).to_numpy().copy(), lengths)
        is_known = rows.values >= 0
        n_known = np.bincount(rows.row_index[is_known], minlength=len(rows))
        return cls(
            is_given=lists.is_not_null().to_numpy(),
            items=Ragged.from_lengths(rows.values[is_known], n_known),
            n_unknown_items=int((~is_known).sum()),
        )

    @property
    def lengths(self) -> IntArray:
        """Known items per query, `NOT_GIVEN` where no history is given: int64[query]."""
        return np.where(self.is_given, self.items.lengths, NOT_GIVEN)

    def in_place_of(self, logged: Histories, times: IntArray) -> Histories:
        """`logged`, one history per query, with the given ones in place of the log's."""
        given = _as_histories(self.items, times).newest(HISTORY)
        # Both kinds one after the other, then for each query the row of its own kind.
        both = Histories(
            Ragged.concat([logged.items, given.items]),
            np.concatenate([logged.times, given.times]),
            np.concatenate([logged.signs, given.signs]),
            np.concatenate([logged.recency, given.recency]),
        )
        n_queries = len(times)
        return both.take(np.arange(n_queries) + np.where(self.is_given, n_queries, 0))


def _as_histories(items: Ragged, times: IntArray) -> Histories:
    """Positive events on the items: a visit each, a microsecond apart, the last one just before the query."""
    # Position from the end of the row: 0 for the newest item.
    recency = np.repeat(items.offsets[1:], items.lengths) - 1 - np.arange(len(items.values))
    happened = np.repeat(times, items.lengths) - 1 - recency
    return Histories(items, happened, np.ones(len(items.values), np.int8), recency)
