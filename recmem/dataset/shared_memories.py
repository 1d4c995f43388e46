"""A dataset over online memories that processes share: what a request needs is fetched, what happens is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl

from feature_store.arrays import IntArray
from feature_store.point_in_time.as_of_reads import END_OF_TIME
from feature_store.point_in_time.event_log import rows_of
from feature_store.redis import RedisMemories, UnavailableError
from feature_store.redis.event_rows import event_rows
from feature_store.redis.fetch_request import FetchRequest
from feature_store.redis.fetched_log import FetchedLog
from feature_store.redis.loaded_tables import LoadedTables
from feature_store.redis.memories import NOW, WriteOutcome
from feature_store.redis.memory_settings import MemorySettings
from feature_store.redis.publishing import PublishReceipt
from recmem.dataset.dataset import Dataset, DatasetConfig
from recmem.matching.user_memory import HISTORY

__all__ = ["NOW", "RedisMemories", "at_hand", "connected", "publish", "rules_of", "write"]


UNANSWERED = "rows answered from the tables as they were loaded: the online memories did not answer"
_NO_ITEM = "item_id: expected an item that the process has loaded, got another: append to the store, publish, load anew"
_TOO_LATE = "timestamp: expected a later time than the online memories count by number: append to the store and publish"

_TOO_OLD = "cancels: expected an event that the online memories hold or surely await: append to the store and publish"


def rules_of(config: DatasetConfig) -> MemorySettings:
    """How a model reads and writes online memories."""
    counters = config.counters
    return MemorySettings(config.signals, (counters.short, counters.medium, counters.long), HISTORY)


def connected(online: RedisMemories | str, config: DatasetConfig) -> RedisMemories:
    """The memories, which are there and were written by the model's rules; else DataError, or UnavailableError."""
    memories = RedisMemories(online) if isinstance(online, str) else online
    try:
        memories.read(rules_of(config), [], np.empty(0, np.int64), [])
    except UnavailableError:
        if memories.on_failure == "error":
            raise
    return memories


def at_hand(
    dataset: Dataset, memories: RedisMemories | None, users: pl.Series, times: IntArray, items: IntArray, at: IntArray
) -> tuple[Dataset, int]:
    """The dataset with what the memories hold of `users[n]` as of `times[n]`, and of items as of `at[n]`.

    NOW stands for the clock. Also gives how many of the users were left unanswered. The item-item models and
    showings stay those of the tables as they were loaded.
    """
    if memories is None:
        return dataset, 0
    request = FetchRequest(users, dataset.user_rows(users), times, items, at)
    try:
        loaded = LoadedTables(
            dataset.tables, dataset.events, dataset.catalogue.ids, dataset.catalogue.rows, dataset.config.signals
        )
        reads = FetchedLog.fetch(memories, rules_of(dataset.config), loaded, dataset.users, request)
    except UnavailableError:
        if memories.on_failure == "error":
            raise
        return dataset, len(users)
    return replace(dataset, users=reads.users, reads=reads), 0


def publish(
    dataset: Dataset,
    memories: RedisMemories,
    *,
    answers_from: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> PublishReceipt:
    """Brings the server to the dataset's tables; see `RedisMemories.publish`."""
    rules, ids = rules_of(dataset.config), dataset.catalogue.ids
    return memories.publish(dataset.events, ids, rules, answers_from=answers_from, on_progress=on_progress)


def write(dataset: Dataset, memories: RedisMemories, events: pl.DataFrame) -> tuple[int, int, dict[str, int]]:
    """Adds checked events: how many were new, and duplicates, and how many were refused for which reason."""
    rules, ids = rules_of(dataset.config), dataset.catalogue.ids
    rows = event_rows(events, ids, rules.signals)
    user_rows = dataset.user_rows(rows["user"].cast(dataset.users.dtype))
    in_tables = dataset.reads.user_counts(user_rows, np.full(len(rows), END_OF_TIME))[0] > 0
    users = rows["user"].filter(pl.Series(in_tables)).unique().cast(dataset.users.dtype)
    theirs = dataset.events.filter(pl.col("user_id").is_in(users.implode()))
    became = Counter(memories.write(rows, rules, in_tables, event_rows(theirs, ids, rules.signals)))
    n_strange = int((rows_of(events["item_id"], ids) < 0).sum())
    refused = {_NO_ITEM: n_strange, _TOO_LATE: became[WriteOutcome.TOO_LATE], _TOO_OLD: became[WriteOutcome.TOO_OLD]}
    n_twice = len(events) - n_strange - len(rows)
    return (
        became[WriteOutcome.NEW],
        became[WriteOutcome.DUPLICATE] + n_twice,
        {reason: n for reason, n in refused.items() if n},
    )
