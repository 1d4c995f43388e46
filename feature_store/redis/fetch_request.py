"""What one request reads from a server: distinct users and items at their times, in round trips of bounded size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import polars as pl

from feature_store.arrays import IntArray
from feature_store.redis.memories import NOW, RedisMemories, Reply
from feature_store.redis.memory_settings import MemorySettings

PAIRS_PER_CALL = 5_000
"""Users and items of one round trip at most: the server answers nobody else in the meantime."""


@dataclass(frozen=True, eq=False)
class FetchRequest:
    """What is read: `users[n]` as of `times[n]`, and `items[n]` as of `item_times[n]`. NOW stands for the clock."""

    users: pl.Series
    """User ids; null for no user."""
    user_rows: IntArray
    """User rows; -1 for a user of no table."""
    times: IntArray
    items: IntArray
    """Item rows."""
    item_times: IntArray


@dataclass(frozen=True, eq=False)
class Queries:
    """Distinct users and times."""

    users: list[str]
    times: IntArray
    rows: IntArray


def distinct_queries(request: FetchRequest) -> Queries:
    """The request's users and times, each combination once, in their first order."""
    users = request.users.cast(pl.String).to_list()
    requested = zip(users, request.times.tolist(), request.user_rows, strict=True)
    row_of = {(user, time): row for user, time, row in requested if user is not None}
    return Queries(
        users=[user for user, _ in row_of],
        times=np.array([time for _, time in row_of], np.int64),
        rows=np.array(list(row_of.values()), np.int64),
    )


def distinct_pairs(times: IntArray, items: IntArray) -> IntArray:
    """int64[pair, 2]: the distinct (time, item row), sorted."""
    order = np.lexsort((items, times))
    pairs = np.stack([times[order], items[order]], axis=1)
    is_first = np.ones(len(pairs), bool)
    is_first[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    return pairs[is_first]


def read_parts(
    memories: RedisMemories, settings: MemorySettings, queries: Queries, pairs: IntArray, items: pl.Series
) -> Reply:
    """The reply to all queries and pairs, in as few round trips as their number allows."""
    times = queries.times
    pair_times = pairs[:, 0]
    item_ids = items.gather(pairs[:, 1]).cast(pl.String).to_list()
    replies: list[Reply] = []
    for begin in range(0, max(len(queries.users), len(item_ids), 1), PAIRS_PER_CALL):
        part = slice(begin, begin + PAIRS_PER_CALL)
        items_by_time = _items_by_time(pair_times[part], item_ids[part])
        replies.append(memories.read(settings, queries.users[part], times[part], items_by_time))
        # All parts are read as of one clock, that of the first.
        times = np.where(times == NOW, replies[0].clock, times)
        pair_times = np.where(pair_times == NOW, replies[0].clock, pair_times)
    return Reply(
        clock=replies[0].clock,
        memories=[memory for reply in replies for memory in reply.memories],
        counters=np.concatenate([reply.counters for reply in replies]),
        cancelled=[members for reply in replies for members in reply.cancelled],
    )


def _items_by_time(times: IntArray, item_ids: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Each time with its items; the times are sorted."""
    groups = groupby(zip(times.tolist(), item_ids, strict=True), key=lambda pair: pair[0])
    return [(time, [item for _, item in pairs]) for time, pairs in groups]
