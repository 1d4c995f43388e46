"""One query per user, and the tables to answer it from: with shared memories, what these say of the users now."""

from __future__ import annotations

import logging

import numpy as np
import polars as pl

from feature_store.cell_parsing import parse_ids
from feature_store.timestamps import TIMESTAMP
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.dataset.shared_memories import NOW, with_shared_memories
from recmem.dataset.unmatched_rows import UnmatchedRows
from recmem.serving.frames import to_ids
from recmem.serving.loaded_parts import LoadedParts
from recmem.serving.request_times import TimeLike, microseconds
from recmem.serving.slot_names import described_slots, newest_first

_LOG = logging.getLogger("recmem")


def queries_of(
    parts: LoadedParts, users: pl.Series, timestamp: TimeLike | None, *, with_items: bool = True
) -> tuple[Dataset, QueryBatch, UnmatchedRows]:
    """One query per user, and the dataset to answer it from, which has counters of all items if `with_items`."""
    dataset = parts.dataset
    time = NOW if timestamp is None else microseconds(timestamp)
    ids = parse_ids(users, dataset.users.dtype)[0]
    requested = np.full(len(ids), time, np.int64)
    items = np.arange(len(dataset.catalogue) if with_items else 0)
    item_times = np.full(len(items), time, np.int64)
    dataset, n_unanswered = with_shared_memories(dataset, parts.memories, ids, requested, items, item_times)
    times = np.where(requested == NOW, dataset.clock, requested)
    unmatched = UnmatchedRows(unanswered=n_unanswered, unreadable_ids=ids.null_count())
    return dataset, QueryBatch.of(dataset, dataset.user_rows(ids), times), unmatched


def query_of(
    parts: LoadedParts, user_id: object, timestamp: TimeLike | None, *, with_items: bool = True
) -> tuple[Dataset, QueryBatch]:
    """The query of one user, for methods that return no report: what the store could not match is logged."""
    dataset, query, unmatched = queries_of(parts, to_ids([user_id], "user_id"), timestamp, with_items=with_items)
    for sentence in unmatched.sentences():
        _LOG.warning(sentence)
    return dataset, query


def memory_of(parts: LoadedParts, user_id: object, timestamp: TimeLike | None) -> pl.DataFrame:
    """What is remembered of a user, newest first; see `Model.memory`."""
    dataset, query = query_of(parts, user_id, timestamp, with_items=False)
    language = parts.bundle.config.language
    described = described_slots(parts.matcher, dataset.catalogue, query.histories, language)
    slots = [described[place] for place in newest_first(described)]
    return pl.DataFrame(
        {
            "item_id": pl.Series([slot.item_id for slot in slots], dtype=dataset.catalogue.ids.dtype),
            "title": pl.Series([slot.title for slot in slots], dtype=pl.String),
            "timestamp": pl.Series([slot.time for slot in slots], dtype=pl.Int64).cast(TIMESTAMP),
            "kind": pl.Series([slot.kind for slot in slots], dtype=pl.String),
            "visits_ago": pl.Series([slot.age for slot in slots], dtype=pl.Int64),
        }
    )
