"""A frame of candidates, read: which rows belong to one query, which item each row names, whose memory counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store import DataError
from feature_store.arrays import IntArray
from feature_store.cell_parsing import parse_attribute, parse_ids
from feature_store.data_errors import ColumnProblem, describe, refused_column
from feature_store.point_in_time.event_log import FEW, rows_of
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from feature_store.timestamps import TIMESTAMP, parse_timestamps
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.dataset.shared_memories import NOW, UNANSWERED, RedisMemories, at_hand
from recmem.matching.user_memory import HISTORY
from recmem.text.item_text import item_text

TABLE = "candidates"
UNKNOWN_USERS = "rows of users without any event"
UNKNOWN_ITEMS = "rows of items that the store lacks, scored by the text given"
UNKNOWN_WITHOUT_TEXT = "rows of items that the store lacks, without text"
UNKNOWN_HISTORY = "items of a given history that the store lacks, left out"


@dataclass(frozen=True, eq=False)
class Candidates:
    """The queries of a frame in an order of their own: the order of the frame's rows changes nothing but theirs."""

    dataset: Dataset
    """What they are read from."""
    queries: QueryBatch
    inline: IntArray
    """Per query the length of the history that came with it, -1 where the log is read."""
    items: Ragged
    """Per query its distinct items: rows of the catalogue, and from its end on of `texts`."""
    texts: list[str]
    """Texts of items that the catalogue lacks."""
    query_of_row: IntArray
    pair_of_row: IntArray
    """Place in `items.values` of each row of the frame."""
    counts: dict[str, int]
    """What was odd: words to number of rows."""


def read_candidates(
    frame: pl.DataFrame, dataset: Dataset, added: tuple[str, ...], memories: RedisMemories | None = None
) -> Candidates:
    """The frame's queries and items.

    A query is a user at a time (with its impression and its own history, where the frame has such columns).
    Raises DataError with all faults: no polars frame, a missing column, a null id, a time that is none, a history that
    is no list, a column that is named as one of `added`.
    """
    times = _checked_times(frame, added)
    item_rows, texts, counts = _item_rows(frame, dataset)
    ids, asked = _ids(frame["user_id"], dataset.users.dtype), times.to_physical().fill_null(NOW).to_numpy()
    dataset, counts[UNANSWERED] = at_hand(dataset, memories, ids, asked, item_rows, asked)
    micros = np.where(asked == NOW, dataset.clock, asked)
    users = dataset.user_rows(ids)
    own = _own_histories(frame)
    keys = {"user": frame["user_id"].cast(pl.String), "time": pl.Series(micros)}
    if "impression_id" in frame.columns:
        keys["impression"] = frame["impression_id"].cast(pl.String)
    if own is not None:
        keys["own"] = own.list.join("\n", ignore_nulls=False)
    query_of_row, first = _groups(pl.DataFrame(keys))
    # Query and item as one number: sorting these is ten times as fast as sorting rows of two.
    stride = int(item_rows.max(initial=0)) + 1
    pairs, pair_of_row = np.unique(query_of_row * stride + item_rows, return_inverse=True)
    told = None if own is None else own.gather(first)
    queries, inline, n_unknown = _queries(dataset, users[first], micros[first], told)
    counts[UNKNOWN_USERS] = int(((users < 0) & (inline[query_of_row] < 0)).sum())
    counts[UNKNOWN_HISTORY] = n_unknown
    return Candidates(
        dataset=dataset,
        queries=queries,
        inline=inline,
        items=Ragged.from_lengths(pairs % stride, np.bincount(pairs // stride, minlength=len(first))),
        texts=texts,
        query_of_row=query_of_row,
        pair_of_row=pair_of_row.astype(np.int64, copy=False),
        counts=counts,
    )


def _checked_times(frame: object, added: tuple[str, ...]) -> pl.Series:
    """The times of the rows, null where the clock counts; DataError for whatever is wrong with the frame."""
    if not isinstance(frame, pl.DataFrame):
        kind = f"{type(frame).__module__.partition('.')[0]} {type(frame).__name__}"
        remedy = "Use pl.from_pandas(frame), pl.from_arrow(table) or lazy.collect()."
        raise DataError(describe([ColumnProblem("", "a polars DataFrame", kind, remedy)], table=TABLE))
    faults = []
    for name in ("user_id", "item_id"):
        if name not in frame.columns:
            faults.append(ColumnProblem(name, "the column", "none", "Add it, or rename the column that holds it."))
        else:
            faults += _id_faults(frame[name])
    remedy = "Rename it, or leave it out."
    faults += [ColumnProblem(name, "no column of this name", "one", remedy) for name in added if name in frame.columns]
    if "history" in frame.columns and not _is_history(frame["history"].dtype):
        faults.append(refused_column(frame["history"], expected="lists of item ids", remedy="Give pl.List(pl.String)."))
    if "impression_id" in frame.columns:
        faults += _dtype_faults(frame["impression_id"])
    times = pl.Series("timestamp", [None] * frame.height, dtype=TIMESTAMP)
    if "timestamp" in frame.columns:
        times, found = parse_timestamps(frame["timestamp"])
        faults += found
    if faults:
        raise DataError(describe(faults, table=TABLE))
    return times


def _is_history(dtype: pl.DataType) -> bool:
    if isinstance(dtype, pl.List | pl.Array):
        return _is_id(pl.Series([], dtype=dtype.inner).dtype)
    return dtype == pl.Null


def _is_id(dtype: pl.DataType) -> bool:
    return dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null) or dtype.is_numeric()


def _dtype_faults(ids: pl.Series) -> list[ColumnProblem]:
    if not len(ids) or _is_id(ids.dtype):
        return []
    return [refused_column(ids, expected="ids as text or whole numbers", remedy="Cast the column to pl.String.")]


def _id_faults(ids: pl.Series) -> list[ColumnProblem]:
    if (faults := _dtype_faults(ids)) or not ids.null_count():
        return faults
    return [ColumnProblem(ids.name, "an id", "null", "Fill it in, or leave the row out.", ids.is_null())]


def _ids(ids: pl.Series, stored: pl.DataType) -> pl.Series:
    """The ids as the store has them; null for what can be no id of it."""
    return parse_ids(ids, stored)[0]


def _groups(keys: pl.DataFrame) -> tuple[IntArray, IntArray]:
    """Number of each row's group, in the order of the sorted keys, and the first row of each group."""
    if len(keys) < FEW:
        rows = [tuple((cell is not None, cell) for cell in row) for row in keys.rows()]
        first = dict(zip(reversed(rows), reversed(range(len(rows))), strict=True))
        order = sorted(first)
        number = {row: place for place, row in enumerate(order)}
        return np.array([number[row] for row in rows], np.int64), np.array([first[row] for row in order], np.int64)
    numbered = keys.with_row_index("row")
    groups = numbered.group_by(keys.columns).agg(pl.col("row").min()).sort(keys.columns).with_row_index("group")
    joined = numbered.join(groups.drop("row"), on=keys.columns, nulls_equal=True, how="left", maintain_order="left")
    return joined["group"].cast(pl.Int64).to_numpy().copy(), groups["row"].cast(pl.Int64).to_numpy().copy()


def _item_rows(frame: pl.DataFrame, dataset: Dataset) -> tuple[IntArray, list[str], dict[str, int]]:
    """Row of each candidate; those that the catalogue lacks follow its end, one row for each id and text."""
    catalogue = dataset.catalogue
    rows = catalogue.rows(_ids(frame["item_id"], catalogue.ids.dtype))
    unknown = np.flatnonzero(rows < 0)
    if not len(unknown):
        return rows, [], {UNKNOWN_ITEMS: 0, UNKNOWN_WITHOUT_TEXT: 0}
    strangers = frame[unknown]
    texts = item_text(_text_cells(strangers, catalogue.text_columns), catalogue.text_columns)
    keys = pl.DataFrame({"item": strangers["item_id"].cast(pl.String), "text": texts})
    group, first = _groups(keys)
    rows[unknown] = len(catalogue) + group
    n_empty = int((texts == "").sum())
    counts = {UNKNOWN_ITEMS: len(unknown) - n_empty, UNKNOWN_WITHOUT_TEXT: n_empty}
    return rows, texts.gather(first).to_list(), counts


def _text_cells(frame: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    """The text columns as the store would hold them, null where the frame has none."""
    nothing = pl.Series([None] * frame.height, dtype=pl.String)
    cells = (parse_attribute(frame[name], pl.String())[0] if name in frame.columns else None for name in columns)
    return pl.DataFrame({name: nothing if cell is None else cell for name, cell in zip(columns, cells, strict=True)})


def _own_histories(frame: pl.DataFrame) -> pl.Series | None:
    """Histories that came with the rows, as lists of text without nulls; null where the log is to be read."""
    if "history" not in frame.columns or frame["history"].dtype == pl.Null:
        return None
    lists = frame.select(pl.col("history").cast(pl.List(pl.String)).list.drop_nulls())
    return lists.to_series()


def _queries(
    dataset: Dataset, users: IntArray, times: IntArray, own: pl.Series | None
) -> tuple[QueryBatch, IntArray, int]:
    """The queries; per query the length of a history that came with it; how many items of these are unknown."""
    if own is None:
        return QueryBatch.of(dataset, users, times), np.full(len(users), -1), 0
    is_own = own.is_not_null().to_numpy()
    given = _parsed_lists(own, dataset)
    known = given.values >= 0
    lengths = np.bincount(given.row_index[known], minlength=len(given))
    inline = np.where(is_own, lengths, -1)
    logged = dataset.histories(np.where(is_own, -1, users), times, HISTORY)
    told = _as_histories(Ragged.from_lengths(given.values[known], lengths), times).newest(HISTORY)
    both = Histories(
        Ragged.concat([logged.items, told.items]),
        np.concatenate([logged.times, told.times]),
        np.concatenate([logged.signs, told.signs]),
        np.concatenate([logged.recency, told.recency]),
    )
    rows = np.arange(len(users)) + np.where(is_own, len(users), 0)
    return QueryBatch(np.where(is_own, -1, users), times, both.take(rows)), inline, int((~known).sum())


def _parsed_lists(own: pl.Series, dataset: Dataset) -> Ragged:
    """Catalogue rows of the given item ids, -1 for unknown ones."""
    lengths = own.list.len().fill_null(0).cast(pl.Int64).to_numpy()
    flat = own.drop_nulls().explode(empty_as_null=False, keep_nulls=False)
    rows = rows_of(_ids(flat, dataset.catalogue.ids.dtype), dataset.catalogue.ids)
    return Ragged.from_lengths(rows.to_numpy().copy(), lengths)


def _as_histories(items: Ragged, times: IntArray) -> Histories:
    """Histories of items without times: each a moment of its own, all for, the last one just before the query."""
    recency = np.repeat(items.offsets[1:], items.lengths) - 1 - np.arange(len(items.values))
    signs = np.ones(len(items.values), np.int8)
    return Histories(items, np.repeat(times, items.lengths) - 1 - recency, signs, recency)
