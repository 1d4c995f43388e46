"""Histories and counters as of many times, compared with polars' as-of join on a running count."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.timing import Row, compare
from feature_store import EventLog
from feature_store.arrays import IntArray
from feature_store.point_in_time.counters import CounterConfig, item_counters
from feature_store.point_in_time.histories import Histories

N_EVENTS = 5_000_000
N_QUERIES = 1_000_000
N_USERS = 200_000
N_ITEMS = 50_000
HISTORY = 50
SPAN = 10**13


def as_of_rows() -> list[Row]:
    """Times the count of an item's earlier events, all counters, and a user's last events; each is checked first."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, SPAN, N_EVENTS))
    items = rng.zipf(1.3, N_EVENTS) % N_ITEMS
    users = rng.integers(0, N_USERS, N_EVENTS)
    query_items = rng.choice(items, N_QUERIES)
    query_times = rng.integers(0, SPAN, N_QUERIES)
    query_users = rng.choice(users, N_QUERIES)
    config = CounterConfig(short=SPAN // 200, medium=SPAN // 50, long=SPAN // 12, span=SPAN)

    def log() -> EventLog:
        return EventLog(users, items, times, times + 1, np.ones(N_EVENTS, np.int8))

    def joined(keys: IntArray = items, query_keys: IntArray = query_items, at: IntArray = query_times) -> IntArray:
        """Events of each query's key strictly before its time, by polars."""
        events = pl.DataFrame({"key": keys, "time": times}).with_columns(n=pl.int_range(1, pl.len() + 1).over("key"))
        queries = pl.DataFrame({"key": query_keys, "time": at}).with_row_index("row").sort("time")
        found = queries.join_asof(
            events, on="time", by="key", allow_exact_matches=False, check_sortedness=False, strategy="backward"
        )
        return found.sort("row")["n"].fill_null(0).to_numpy()

    _check("counts", log().by_item.counts(query_items, query_times), joined())
    counters = item_counters(log(), query_items, query_times, config)
    for name, window in (("short", config.short), ("medium", config.medium), ("long", config.long)):
        recent = joined() - joined(at=query_times - window)
        _check(f"popularity_{name}", counters[f"popularity_{name}"], np.log1p(recent).astype(np.float32))
    histories = Histories.as_of(log(), query_users, query_times, HISTORY)
    _check("lengths of histories", histories.items.lengths, np.minimum(joined(users, query_users), HISTORY))
    newest = histories.items.offsets[1:][histories.items.lengths > 0] - 1
    _check("newest events", histories.times[newest], _newest(times, users, query_users, query_times))
    shape = f"{N_EVENTS:,} events, {N_QUERIES:,} queries"
    unit = "events and queries/s"
    ways = {
        "polars join_asof": joined,
        "recmem": lambda: log().by_item.counts(query_items, query_times),
        "recmem, all six counters": lambda: item_counters(log(), query_items, query_times, config),
        f"recmem, histories of {HISTORY}": lambda: Histories.as_of(log(), query_users, query_times, HISTORY),
    }
    return compare("count as of t", shape, ways, amount=N_EVENTS + N_QUERIES, unit=unit, rounds=3)


def _newest(times: IntArray, users: IntArray, query_users: IntArray, at: IntArray) -> IntArray:
    """When the newest event strictly before each query happened, by polars; queries without one are left out."""
    events = pl.DataFrame({"user": users, "time": times, "found": times})
    queries = pl.DataFrame({"user": query_users, "time": at}).with_row_index("row").sort("time")
    found = queries.join_asof(events, on="time", by="user", allow_exact_matches=False, check_sortedness=False)
    return found.sort("row")["found"].drop_nulls().to_numpy()


def _check(what: str, found: NDArray[np.generic], expected: NDArray[np.generic]) -> None:
    if not np.array_equal(found, expected):
        raise ArithmeticError(f"{what}: expected the numbers of polars' joins, got others. Nothing was timed.")
