"""A frame of users and texts, read: texts that are no items of the catalogue, as candidates for a user's memory."""

from __future__ import annotations

import numpy as np
import polars as pl

from feature_store import DataError
from feature_store.cell_parsing import parse_ids
from feature_store.data_errors import ColumnProblem, describe, refused_column
from feature_store.timestamps import TIMESTAMP, parse_timestamps
from recmem.dataset.candidate_checks import taken_names
from recmem.dataset.candidate_frame import Candidates, pairs_of_rows
from recmem.dataset.dataset import Dataset
from recmem.dataset.given_histories import NOT_GIVEN
from recmem.dataset.query_batch import QueryBatch
from recmem.dataset.row_groups import group_rows, query_keys
from recmem.dataset.shared_memories import NOW, RedisMemories, with_shared_memories
from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.text.item_text import item_text

TABLE = "texts"
TEXT = "text"
TEXT_FRAME_COLUMNS = ("user_id", TEXT, "timestamp")
"""The columns that are read; the last one is optional."""
_TEXT_TYPES = (pl.String, pl.Categorical, pl.Enum, pl.Null)


def read_text_frame(
    frame: pl.DataFrame, dataset: Dataset, output_names: tuple[str, ...], memories: RedisMemories | None = None
) -> Candidates:
    """Reads a frame's queries, a user at a time each, with their texts. `output_names`: columns that will be added.

    A text is encoded as the text of an item would be that has it as its title. Raises DataError with all faults of the
    frame: a missing column, a null id, a text that is null or has no words, an unreadable timestamp, a column named
    like one of `output_names`.
    """
    users, texts, timestamps = _checked(frame, output_names)
    user_ids = parse_ids(users, dataset.users.dtype)[0]
    requested = timestamps.to_physical().fill_null(NOW).to_numpy()
    no_items = np.empty(0, np.int64)
    dataset, n_unanswered = with_shared_memories(dataset, memories, user_ids, requested, no_items, no_items)
    times = np.where(requested == NOW, dataset.clock, requested)
    user_rows = dataset.user_rows(user_ids)
    query_of_row, first_row = group_rows(query_keys(users, times, None))
    text_of_row, first_of_text = group_rows(pl.DataFrame({TEXT: texts}))
    items, pair_of_row = pairs_of_rows(query_of_row, text_of_row + len(dataset.catalogue), len(first_row))
    is_known = user_rows >= 0
    return Candidates(
        dataset=dataset,
        queries=QueryBatch.of(dataset, user_rows[first_row], times[first_row]),
        given_history_lengths=np.full(len(first_row), NOT_GIVEN),
        items=items,
        texts=texts.gather(first_of_text).to_list(),
        new_ids=pl.Series("item_id", [None] * len(first_of_text), dtype=dataset.catalogue.ids.dtype),
        query_of_row=query_of_row,
        pair_of_row=pair_of_row,
        user_is_known=is_known,
        given_features={},
        unmatched=UnmatchedRows(
            unknown_users=int((~is_known).sum()),
            unanswered=n_unanswered,
            unreadable_ids=user_ids.null_count(),
        ),
    )


def _checked(frame: pl.DataFrame, output_names: tuple[str, ...]) -> tuple[pl.Series, pl.Series, pl.Series]:
    """The user, the text as it is encoded, and the time of each row: null where the row gives none."""
    faults = [
        ColumnProblem(name, "the column", f"none among {', '.join(frame.columns) or 'no columns'}", "Add it.")
        for name in ("user_id", TEXT)
        if name not in frame.columns
    ]
    faults += taken_names(frame, output_names)
    if "user_id" in frame.columns:
        faults += _user_faults(frame["user_id"])
    texts = pl.Series(TEXT, [], dtype=pl.String)
    if TEXT in frame.columns:
        texts, text_faults = _read_texts(frame[TEXT])
        faults += text_faults
    timestamps = pl.Series("timestamp", [None] * frame.height, dtype=TIMESTAMP)
    if "timestamp" in frame.columns:
        timestamps, time_faults = parse_timestamps(frame["timestamp"])
        faults += time_faults
    if faults:
        raise DataError(describe(faults, table=TABLE))
    return frame["user_id"], texts, timestamps


def _user_faults(ids: pl.Series) -> list[ColumnProblem]:
    if ids.null_count():
        return [ColumnProblem("user_id", "an id", "null", "Fill it in, or remove the row.", ids.is_null())]
    # A single bad id counts as an unknown user, as in a frame of candidates; a column of another type is refused.
    return [fault for fault in parse_ids(ids)[1] if fault.rows is None] if len(ids) else []


def _read_texts(cells: pl.Series) -> tuple[pl.Series, list[ColumnProblem]]:
    if cells.dtype not in _TEXT_TYPES:
        return cells, [refused_column(cells, expected="texts", remedy="Cast the column to pl.String.")]
    texts = item_text(cells.cast(pl.String).alias("title").to_frame(), ("title",)).alias(TEXT)
    is_empty = texts == ""
    if not is_empty.any():
        return texts, []
    remedy = "Leave the row out: without words there is nothing to match."
    return texts, [ColumnProblem(TEXT, "a text", "null or no words", remedy, is_empty)]
