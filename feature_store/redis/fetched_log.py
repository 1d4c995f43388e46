"""What a server holds of the users and items of one request, read as a log is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from feature_store.arrays import BoolArray, IntArray
from feature_store.data_errors import DataError
from feature_store.point_in_time.event_log import EventLog
from feature_store.point_in_time.online_log import OnlineLog
from feature_store.point_in_time.read_protocol import AsOf, Past
from feature_store.ragged import Ragged
from feature_store.redis.fetch_request import FetchRequest, Queries, distinct_pairs, distinct_queries, read_parts
from feature_store.redis.key_index import KeyIndex
from feature_store.redis.loaded_tables import LoadedTables
from feature_store.redis.memories import NOW, RedisMemories, Reply
from feature_store.redis.memory_settings import MemorySettings
from feature_store.redis.packing import (
    is_memory_held,
    marks_forgotten_user,
    memory_event_count,
    unpack_identities,
    unpack_memories,
)


@dataclass(frozen=True, eq=False)
class FetchedLog:
    """`AsOf` for the users and items of one request only.

    A user whom the server does not hold is read from the tables as the process has loaded them.
    """

    loaded: LoadedTables
    users: pl.Series
    """User ids in row order: those of the tables, then users whom only the server knows."""
    clock: int
    n_items: int
    """Items of the catalogue."""
    windows: tuple[int, ...]
    memory: Past
    """The memory of each query, and an empty one at the end."""
    n_events: IntArray
    """How many events each query's user has, and 0 at the end."""
    is_forgotten: BoolArray
    """Whether each query's user was forgotten, so that events in the loaded tables do not count."""
    query_index: KeyIndex
    """Finds the query of a user row and time."""
    pair_index: KeyIndex
    """Finds the row of `counters` of an item row and time."""
    cancelled: list[frozenset[bytes]]
    """Per query, identities of cancelled events that the loaded tables may still contain; empty at the end."""
    counters: IntArray = field(repr=False)
    """int64[pair, 3 + windows]: events in all, when the first became known and happened, events within each window.
    The last row is zero."""

    @classmethod
    def fetch(
        cls,
        memories: RedisMemories,
        settings: MemorySettings,
        loaded: LoadedTables,
        users: pl.Series,
        request: FetchRequest,
    ) -> FetchedLog:
        """Reads the request from the server; `users` are the ids in row order."""
        items = loaded.items
        queries = distinct_queries(request)
        is_known = (request.items >= 0) & (request.items < len(items))
        pairs = distinct_pairs(request.item_times[is_known], request.items[is_known])
        reply = read_parts(memories, settings, queries, pairs, items)
        times = np.where(queries.times == NOW, reply.clock, queries.times)
        pair_times = np.where(pairs[:, 0] == NOW, reply.clock, pairs[:, 0])
        rows, users = _with_new_users(queries, users, reply)
        memory, n_events = _memories(reply, loaded.log, rows, times, loaded.item_rows, settings.limit)
        counters = reply.counters.astype(np.int64)
        counters[:, 0] = np.maximum(counters[:, 0], 0)
        no_counters = np.zeros((1, counters.shape[1]), np.int64)
        return cls(
            loaded=loaded,
            users=users,
            clock=reply.clock,
            n_items=len(items),
            windows=settings.windows,
            memory=memory,
            n_events=np.append(n_events, 0),
            is_forgotten=np.array([*map(marks_forgotten_user, reply.memories), False]),
            query_index=KeyIndex.of(rows, times),
            pair_index=KeyIndex.of(pairs[:, 1], pair_times),
            cancelled=[*map(unpack_identities, reply.cancelled), frozenset()],
            counters=np.concatenate([counters, no_counters]),
        )

    @property
    def base(self) -> EventLog | OnlineLog:
        """The log of the tables as the process has loaded them."""
        return self.loaded.log

    def past(self, users: IntArray, times: IntArray, limit: int | None = None) -> Past:
        """See `AsOf.past`; no more events than the memory holds."""
        held = self.memory.items
        queries = self.query_index.find(users, times)
        begin = held.offsets[queries]
        end = held.offsets[queries + 1]
        if limit is not None:
            begin = np.maximum(begin, end - limit)
        positions = Ragged.from_ranges(begin, end)
        events = positions.values
        return Past(
            items=Ragged(held.values[events], positions.offsets),
            times=self.memory.times[events],
            known=self.memory.known[events],
            signs=self.memory.signs[events],
        )

    def seen(self, users: IntArray, times: IntArray) -> Ragged:
        """See `AsOf.seen`: items of the loaded tables, less events cancelled since, and items of the memory."""
        queries = self.query_index.find(users, times)
        table_users = np.where(self.is_forgotten[queries], -1, users)
        cancelled = [self.cancelled[query] for query in queries.tolist()]
        from_tables = self.loaded.seen(self.users, table_users, times, cancelled)
        from_memory = self.past(users, times).items
        row_index = np.concatenate([from_tables.row_index, from_memory.row_index])
        order = np.argsort(row_index, kind="stable")
        items = np.concatenate([from_tables.values, from_memory.values])[order]
        return Ragged.from_lengths(items, np.bincount(row_index, minlength=len(users)))

    def user_counts(self, users: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.user_counts`."""
        n_events = self.n_events[self.query_index.find(users, times)]
        newest = self.past(users, times, 1)
        last_time = np.zeros(len(users), np.int64)
        last_time[newest.items.row_index] = newest.times
        return n_events, last_time

    def item_counts(self, items: IntArray, times: IntArray, windows: Sequence[int]) -> list[IntArray]:
        """See `AsOf.item_counts`; the windows have to be those of the settings."""
        if tuple(windows) != self.windows:
            raise ValueError(
                f"windows: expected {self.windows}, got {tuple(windows)}. Read the windows that were fetched."
            )
        # Rows from `n_items` on are items that are new to the process: the server has no events of them.
        known = np.where(items < self.n_items, items, -1)
        counters = self.counters[self.pair_index.find(known, times)]
        return [counters[:, 0], *counters[:, 3:].T]

    def item_firsts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.item_firsts`."""
        counters = self.counters[self.pair_index.find(items, times)]
        return counters[:, 1], counters[:, 2]

    def item_lasts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """Raises DataError: a server counts the events of an item, and does not keep the newest."""
        raise DataError(
            "online: expected the last event time of each item, got shared memories, which do not keep it. "
            "Load the model without `online`."
        )


def _with_new_users(queries: Queries, users: pl.Series, reply: Reply) -> tuple[IntArray, pl.Series]:
    """User rows of the queries, and the user ids with those appended whom only the server knows."""
    rows = queries.rows.copy()
    new: dict[str, int] = {}
    for query, (user, memory) in enumerate(zip(queries.users, reply.memories, strict=True)):
        if rows[query] < 0 and is_memory_held(memory):
            rows[query] = new.setdefault(user, len(users) + len(new))
    if new:
        users = pl.concat([users, pl.Series(users.name, list(new), dtype=pl.String).cast(users.dtype)])
    return rows, users


def _memories(
    reply: Reply, base: AsOf, rows: IntArray, times: IntArray, item_rows_of: Callable[[pl.Series], IntArray], limit: int
) -> tuple[Past, IntArray]:
    """The past of each query and an empty one at the end, and how many events each query's user has."""
    lengths, item_ids, numbers = unpack_memories(reply.memories)
    n_events = np.array([memory_event_count(memory) for memory in reply.memories], np.int64)
    query = np.repeat(np.arange(len(lengths)), lengths)  # one entry per event, like all that follow
    item_rows = item_rows_of(pl.Series(item_ids, dtype=pl.String))
    happened = numbers[:, 0]
    known = numbers[:, 1]
    signs = numbers[:, 2].astype(np.int8)

    # Users whom the server does not hold are read from the tables.
    absent = np.flatnonzero([not memory for memory in reply.memories])
    if len(absent):
        from_tables = base.past(rows[absent], times[absent], limit)
        n_events[absent] = base.user_counts(rows[absent], times[absent])[0]
        query = np.concatenate([query, absent[from_tables.items.row_index]])
        item_rows = np.concatenate([item_rows, from_tables.items.values])
        happened = np.concatenate([happened, from_tables.times])
        known = np.concatenate([known, from_tables.known])
        signs = np.concatenate([signs, from_tables.signs])

    # In the order of a log, by query; items that the catalogue lacks are left out.
    order = np.lexsort((signs, item_rows, happened, known, query))
    order = order[item_rows[order] >= 0]
    n_queries = len(lengths) + 1
    items = Ragged.from_lengths(item_rows[order], np.bincount(query[order], minlength=n_queries))
    return Past(items, happened[order], known[order], signs[order]), n_events
