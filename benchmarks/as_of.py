"""Histories and counters as of many moments, beside polars' as-of join on a running count."""

from __future__ import annotations

import numpy as np
import polars as pl

from benchmarks.timing import Row, compare
from feature_store import EventLog
from feature_store.counters import CounterConfig, item_counters
from feature_store.histories import Histories

N_EVENTS, N_QUERIES, N_USERS, N_ITEMS = 5_000_000, 1_000_000, 200_000, 50_000
HISTORY = 50
SPAN = 10**13


def as_of_rows() -> list[Row]:
    """The count of an item's earlier events, checked equal; all counters; and the last events of a user."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.integers(0, SPAN, N_EVENTS))
    items, users = rng.zipf(1.3, N_EVENTS) % N_ITEMS, rng.integers(0, N_USERS, N_EVENTS)
    asked, at, who = rng.choice(items, N_QUERIES), rng.integers(0, SPAN, N_QUERIES), rng.choice(users, N_QUERIES)
    config = CounterConfig(short=SPAN // 200, medium=SPAN // 50, long=SPAN // 12, span=SPAN)

    def log() -> EventLog:
        return EventLog(users, items, times, times + 1, np.ones(N_EVENTS, np.int8))

    def joined() -> pl.Series:
        events = pl.DataFrame({"item": items, "time": times}).with_columns(n=pl.int_range(1, pl.len() + 1).over("item"))
        queries = pl.DataFrame({"item": asked, "time": at}).with_row_index("row").sort("time")
        found = queries.join_asof(
            events, on="time", by="item", allow_exact_matches=False, check_sortedness=False, strategy="backward"
        )
        return found.sort("row")["n"].fill_null(0)

    if (joined().to_numpy() != log().by_item.counts(asked, at)).any():
        raise ArithmeticError("counts: expected those of polars' join, got others. Nothing is timed.")
    shape = f"{N_EVENTS:,} events, {N_QUERIES:,} queries"
    unit = "events and queries/s"
    ways = {
        "polars join_asof": joined,
        "recmem": lambda: log().by_item.counts(asked, at),
        "recmem, all six counters": lambda: item_counters(log(), asked, at, config),
        f"recmem, histories of {HISTORY}": lambda: Histories.as_of(log(), who, at, HISTORY),
    }
    return compare("count as of t", shape, ways, amount=N_EVENTS + N_QUERIES, unit=unit, rounds=3)
