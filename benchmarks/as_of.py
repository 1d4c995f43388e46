"""Histories and counters as of many moments, beside polars' as-of join on a running count."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.timing import Row, compare
from feature_store import EventLog
from feature_store.point_in_time.counters import CounterConfig, item_counters
from feature_store.point_in_time.histories import Histories

N_EVENTS, N_QUERIES, N_USERS, N_ITEMS = 5_000_000, 1_000_000, 200_000, 50_000
HISTORY = 50
SPAN = 10**13
IntArray = NDArray[np.int64]


def as_of_rows() -> list[Row]:
    """The count of an item's earlier events, all counters, and the last events of a user; each checked first."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, SPAN, N_EVENTS))
    items, users = rng.zipf(1.3, N_EVENTS) % N_ITEMS, rng.integers(0, N_USERS, N_EVENTS)
    asked, at, who = rng.choice(items, N_QUERIES), rng.integers(0, SPAN, N_QUERIES), rng.choice(users, N_QUERIES)
    config = CounterConfig(short=SPAN // 200, medium=SPAN // 50, long=SPAN // 12, span=SPAN)

    def log() -> EventLog:
        return EventLog(users, items, times, times + 1, np.ones(N_EVENTS, np.int8))

    def joined(keys: IntArray = items, wanted: IntArray = asked, when: IntArray = at) -> IntArray:
        events = pl.DataFrame({"key": keys, "time": times}).with_columns(n=pl.int_range(1, pl.len() + 1).over("key"))
        queries = pl.DataFrame({"key": wanted, "time": when}).with_row_index("row").sort("time")
        found = queries.join_asof(
            events, on="time", by="key", allow_exact_matches=False, check_sortedness=False, strategy="backward"
        )
        return found.sort("row")["n"].fill_null(0).to_numpy()

    _check("counts", log().by_item.counts(asked, at), joined())
    counters = item_counters(log(), asked, at, config)
    for name, window in (("short", config.short), ("medium", config.medium), ("long", config.long)):
        recent = joined() - joined(when=at - window)
        _check(f"popularity_{name}", counters[f"popularity_{name}"], np.log1p(recent).astype(np.float32))
    histories = Histories.as_of(log(), who, at, HISTORY)
    _check("lengths of histories", histories.items.lengths, np.minimum(joined(users, who), HISTORY))
    newest = histories.items.offsets[1:][histories.items.lengths > 0] - 1
    _check("newest events", histories.times[newest], _newest(times, users, who, at))
    shape = f"{N_EVENTS:,} events, {N_QUERIES:,} queries"
    unit = "events and queries/s"
    ways = {
        "polars join_asof": joined,
        "recmem": lambda: log().by_item.counts(asked, at),
        "recmem, all six counters": lambda: item_counters(log(), asked, at, config),
        f"recmem, histories of {HISTORY}": lambda: Histories.as_of(log(), who, at, HISTORY),
    }
    return compare("count as of t", shape, ways, amount=N_EVENTS + N_QUERIES, unit=unit, rounds=3)


def _newest(times: IntArray, users: IntArray, who: IntArray, at: IntArray) -> IntArray:
    """Time of the newest event of each user strictly before each time, without the users that have none."""
    events = pl.DataFrame({"user": users, "time": times, "found": times})
    queries = pl.DataFrame({"user": who, "time": at}).with_row_index("row").sort("time")
    found = queries.join_asof(events, on="time", by="user", allow_exact_matches=False, check_sortedness=False)
    return found.sort("row")["found"].drop_nulls().to_numpy()


def _check(what: str, found: NDArray[np.generic], expected: NDArray[np.generic]) -> None:
    if not np.array_equal(found, expected):
        raise ArithmeticError(f"{what}: expected those of polars' joins, got others. Nothing is timed.")
