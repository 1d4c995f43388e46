"""Memories and counters that several processes share: fetched for a request, written when events are observed."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl

from feature_store.arrays import IntArray
from feature_store.point_in_time.event_log import rows_of
from feature_store.point_in_time.log_clock import clock_step
from feature_store.point_in_time.online_log import OnlineLog
from feature_store.point_in_time.read_protocol import END_OF_TIME
from feature_store.redis import LostDataError, RedisMemories, UnavailableError
from feature_store.redis.event_rows import event_rows
from feature_store.redis.fetch_request import FetchRequest
from feature_store.redis.fetched_log import FetchedLog
from feature_store.redis.loaded_tables import LoadedTables
from feature_store.redis.memories import NOW, WriteOutcome
from feature_store.redis.memory_settings import MemorySettings
from feature_store.redis.publishing import PublishReceipt
from recmem.dataset.dataset import Dataset, DatasetConfig
from recmem.matching.user_memory import HISTORY

__all__ = ["NOW", "RedisMemories", "connected", "publish", "rules_of", "with_shared_memories", "write"]

_LOG = logging.getLogger("recmem")
_UNKNOWN_ITEM = (
    "item_id: expected an item that the process has loaded, got an unknown one. "
    "Append the item to the store, publish, and load the model again"
)
_EVENT_TOO_EARLY = (
    "timestamp: expected a later time, got one for which the shared memories hold only totals. "
    "Append the event to the store and publish"
)
_UNKNOWN_CANCELLED = (
    "cancels: expected an event that the shared memories still hold, or have yet to receive, got an older one. "
    "Append the cancellation to the store and publish"
)


_CANCELLED_AHEAD = "timestamp: expected a cancellation from the past, got one that lies far ahead. Correct its time"


def rules_of(config: DatasetConfig) -> MemorySettings:
    """How a model reads and writes the shared memories."""
    counters = config.counters
    return MemorySettings(config.signals, (counters.short, counters.medium, counters.long), HISTORY)


def connected(online: RedisMemories | str, config: DatasetConfig, *, store: str = "") -> RedisMemories:
    """The shared memories behind a URL, checked; `store` is the identity of the store that they have to be of.

    Settings with which the server may lose data, and a restart since the last publish, are logged as warnings. Raises
    DataError if nothing is published there, it is not whole, of another store or with other rules; UnavailableError if
    there is no answer.
    """
    memories = RedisMemories(online) if isinstance(online, str) else online
    no_times = np.empty(0, np.int64)
    try:
        memories.of_store(store).read(rules_of(config), [], no_times, [])
        for sentence in memories.warnings():
            _LOG.warning(sentence)
    except LostDataError:
        raise  # there is an answer, and a publish is missing: better refused now than at each request
    except UnavailableError:
        if memories.on_failure == "error":
            raise
    return memories


def with_shared_memories(
    dataset: Dataset,
    memories: RedisMemories | None,
    users: pl.Series,
    times: IntArray,
    items: IntArray,
    item_times: IntArray,
) -> tuple[Dataset, int]:
    """The dataset that answers one request, and for how many of its users the shared memories did not answer.

    It reads user `users[n]` as of `times[n]` and item `items[n]` as of `item_times[n]` from the shared memories, and
    nothing else; NOW stands for the clock. Co-visitation and impressions stay those of the loaded tables. Without
    `memories`, this is the dataset itself.
    """
    if memories is None:
        return dataset, 0
    request = FetchRequest(users, dataset.user_rows(users), times, items, item_times)
    loaded = LoadedTables(
        dataset.tables, dataset.events, dataset.catalogue.ids, dataset.catalogue.rows, dataset.config.signals
    )
    try:
        reads = FetchedLog.fetch(
            memories.of_store(dataset.store), rules_of(dataset.config), loaded, dataset.users, request
        )
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
    replaces: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> PublishReceipt:
    """Brings the server up to date with the dataset's tables; see `RedisMemories.publish`."""
    return memories.of_store(dataset.store).publish(
        dataset.events,
        dataset.catalogue.ids,
        rules_of(dataset.config),
        answers_from=answers_from,
        replaces=replaces,
        on_progress=on_progress,
    )


def write(dataset: Dataset, memories: RedisMemories, events: pl.DataFrame) -> tuple[int, int, dict[str, int]]:
    """Writes checked events: how many were new, how many duplicates, and how many were refused for which reason."""
    rules = rules_of(dataset.config)
    item_ids = dataset.catalogue.ids
    known = dataset.tables.base.known if isinstance(dataset.tables, OnlineLog) else dataset.tables.known
    rows = event_rows(events, item_ids, rules.signals)
    user_rows = dataset.user_rows(rows["user"].cast(dataset.users.dtype))
    n_events, _ = dataset.reads.user_counts(user_rows, np.full(len(rows), END_OF_TIME))
    in_tables = n_events > 0
    # The server may have dropped a user who was idle for long; it fills the user again from the tables' events.
    users = rows["user"].filter(pl.Series(in_tables)).unique().cast(dataset.users.dtype)
    stored = dataset.events.filter(pl.col("user_id").is_in(users.implode()))
    memories = memories.of_store(dataset.store)
    stored_rows = event_rows(stored, item_ids, rules.signals)
    outcomes = Counter(memories.write(rows, rules, in_tables, stored_rows, clock_step=clock_step(known)))
    n_unknown = int((rows_of(events["item_id"], item_ids) < 0).sum())
    # `event_rows` keeps one of several equal events.
    n_repeated = len(events) - n_unknown - len(rows)
    refused = {
        _UNKNOWN_ITEM: n_unknown,
        _EVENT_TOO_EARLY: outcomes[WriteOutcome.TOO_LATE],
        _UNKNOWN_CANCELLED: outcomes[WriteOutcome.TOO_OLD],
        _CANCELLED_AHEAD: outcomes[WriteOutcome.AHEAD],
    }
    reasons = {reason: n_refused for reason, n_refused in refused.items() if n_refused}
    return outcomes[WriteOutcome.NEW], outcomes[WriteOutcome.DUPLICATE] + n_repeated, reasons
