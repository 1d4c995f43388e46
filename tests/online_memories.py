"""Writes to shared memories and reads from them, for tests against a real Redis server."""

from __future__ import annotations

from itertools import count

import numpy as np
import polars as pl

from feature_store import EventLog, SignalConfig
from feature_store.arrays import IntArray
from feature_store.point_in_time.event_log import rows_of
from feature_store.point_in_time.online_log import OnlineLog, log_of
from feature_store.redis import RedisMemories
from feature_store.redis.event_rows import event_rows
from feature_store.redis.fetch_request import FetchRequest
from feature_store.redis.fetched_log import FetchedLog
from feature_store.redis.loaded_tables import LoadedTables
from feature_store.redis.memories import WriteOutcome
from feature_store.redis.memory_settings import MemorySettings
from slow_reference import Event
from strategies import ITEMS, N_ITEMS, USERS, event_frame
from tolerances import close

WINDOWS = (1, 3, 9)
SHORT = MemorySettings(SignalConfig(), WINDOWS, limit=2)
"""Memories that are too short for most logs."""
LONG = MemorySettings(SignalConfig(), WINDOWS, limit=50)
FROM = -20
"""The horizon in most tests: every time of a log can be read."""
ITEM_ROWS = np.arange(-1, N_ITEMS + 2)
"""All item rows, no item, and two items that are new to the process."""
_NAMES = count()


def new_memories(url: str) -> RedisMemories:
    """Memories under a name that no other test uses."""
    return RedisMemories(f"{url}#case{next(_NAMES)}", timeout=5)


def rows(frame: pl.DataFrame) -> pl.DataFrame:
    return event_rows(frame, ITEMS, SignalConfig())


def rows_of_log(log: list[Event]) -> pl.DataFrame:
    return rows(event_frame(log))


def loaded_tables(frame: pl.DataFrame) -> LoadedTables:
    """The tables of a process that has loaded these events."""
    return _loaded(log_of(frame, USERS, ITEMS, SignalConfig()), frame)


def loaded_log(log: EventLog) -> LoadedTables:
    """The tables of a process that has loaded a log without cancellations."""
    return _loaded(log, event_frame([]))


def _loaded(log: EventLog | OnlineLog, frame: pl.DataFrame) -> LoadedTables:
    return LoadedTables(log, frame, ITEMS, lambda ids: rows_of(ids, ITEMS).to_numpy(), SignalConfig())


def write(
    memories: RedisMemories, frame: pl.DataFrame, tables: pl.DataFrame, settings: MemorySettings = LONG
) -> list[WriteOutcome]:
    """Writes a frame from a process that has loaded `tables`."""
    new = rows(frame)
    in_tables = new["user"].is_in(tables["user_id"].implode()).to_numpy()
    return memories.write(new, settings, in_tables, rows(tables))


def drop(memories: RedisMemories, user: str, settings: MemorySettings = LONG) -> None:
    """Lets the server drop a user as if the days that it keeps users for had passed."""
    server = memories._server
    server.client.zadd(server.key("kept"), {user: 1})
    server.call("write_events", [settings.to_json(), "", 60, settings.max_held])


def write_log(
    memories: RedisMemories, log: list[Event], tables: list[Event], settings: MemorySettings = LONG
) -> list[WriteOutcome]:
    return write(memories, event_frame(log), event_frame(tables), settings)


def fetch(
    memories: RedisMemories,
    loaded: LoadedTables,
    time: int,
    settings: MemorySettings = LONG,
    *,
    users: pl.Series = USERS,
    items: IntArray = ITEM_ROWS,
) -> FetchedLog:
    """Reads users and items as of one time."""
    row_of = {user: row for row, user in enumerate(USERS)}
    user_rows = np.array([row_of.get(user, -1) for user in users], np.int64)
    request = FetchRequest(users, user_rows, np.full(len(users), time), items, np.full(len(items), time))
    return FetchedLog.fetch(memories, settings, loaded, USERS, request)


def assert_same_reads(
    reads: FetchedLog, whole: EventLog, time: int, limit: int, *, users: IntArray, items: IntArray
) -> None:
    """Histories and counters equal those of a log, to the bit."""
    user_times = np.full(len(users), time)
    item_times = np.full(len(items), time)
    for n_events in (limit, 1):
        found = reads.past(users, user_times, n_events)
        expected = whole.past(users, user_times, n_events)
        assert found.items == expected.items
        for name in ("times", "known", "signs"):
            close(getattr(found, name), getattr(expected, name), "exact")
    _assert_equal(reads.user_counts(users, user_times), whole.user_counts(users, user_times))
    counts = whole.item_counts(items, item_times, WINDOWS)
    _assert_equal(reads.item_counts(items, item_times, WINDOWS), counts)
    with_events = items[(items < N_ITEMS) & (counts[0] > 0)]
    with_times = np.full(len(with_events), time)
    _assert_equal(reads.item_firsts(with_events, with_times), whole.item_firsts(with_events, with_times))


def _assert_equal(
    found: list[IntArray] | tuple[IntArray, ...], expected: list[IntArray] | tuple[IntArray, ...]
) -> None:
    for found_column, expected_column in zip(found, expected, strict=True):
        close(found_column, expected_column, "exact")
