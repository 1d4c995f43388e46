"""A scene over online memories that processes share: what a request needs is fetched, what happens is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_store.as_of_reads import END_OF_TIME
from feature_store.event_log import rows_of
from feature_store.redis import RedisMemories, UnavailableError
from feature_store.redis.loaded_tables import Loaded
from feature_store.redis.memories import DUPLICATE, NEW, NOW, TOO_LATE, TOO_OLD, Published, Rules
from feature_store.redis.request_reads import Fetched, Request
from feature_store.redis.rows import event_rows
from recmem.dataset.dataset import Scene, SceneConfig
from recmem.matching.user_memory import HISTORY

__all__ = ["NOW", "RedisMemories", "at_hand", "connected", "publish", "rules_of", "write"]

IntArray = NDArray[np.int64]

UNANSWERED = "rows answered from the tables as they were loaded: the online memories did not answer"
_NO_ITEM = "item_id: expected an item that the process has loaded, got another: append to the store, publish, load anew"
_TOO_LATE = "timestamp: expected a later time than the online memories count by number: append to the store and publish"

_TOO_OLD = "cancels: expected an event that the online memories hold or surely await: append to the store and publish"


def rules_of(config: SceneConfig) -> Rules:
    """How a model reads and writes online memories."""
    counters = config.counters
    return Rules(config.signals, (counters.short, counters.medium, counters.long), HISTORY)


def connected(online: RedisMemories | str, config: SceneConfig) -> RedisMemories:
    """The memories, which are there and were written by the model's rules; else DataError, or UnavailableError."""
    memories = RedisMemories(online) if isinstance(online, str) else online
    try:
        memories.read(rules_of(config), [], np.empty(0, np.int64), [])
    except UnavailableError:
        if memories.on_failure == "error":
            raise
    return memories


def at_hand(
    scene: Scene, memories: RedisMemories | None, users: pl.Series, times: IntArray, items: IntArray, at: IntArray
) -> tuple[Scene, int]:
    """The scene with what the memories hold of `users[n]` as of `times[n]`, and of items as of `at[n]`.

    NOW stands for the clock. Also gives how many of the users were left unanswered. The item-item models and
    showings stay those of the tables as they were loaded.
    """
    if memories is None:
        return scene, 0
    request = Request(users, scene.user_rows(users), times, items, at)
    try:
        loaded = Loaded(scene.tables, scene.events, scene.catalogue.ids, scene.catalogue.rows, scene.config.signals)
        reads = Fetched.of(memories, rules_of(scene.config), loaded, scene.users, request)
    except UnavailableError:
        if memories.on_failure == "error":
            raise
        return scene, len(users)
    return replace(scene, users=reads.users, reads=reads), 0


def publish(
    scene: Scene,
    memories: RedisMemories,
    *,
    answers_from: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Published:
    """Brings the server to the scene's tables; see `RedisMemories.publish`."""
    rules, ids = rules_of(scene.config), scene.catalogue.ids
    return memories.publish(scene.events, ids, rules, answers_from=answers_from, on_progress=on_progress)


def write(scene: Scene, memories: RedisMemories, events: pl.DataFrame) -> tuple[int, int, dict[str, int]]:
    """Adds checked events: how many were new, and duplicates, and how many were refused for which reason."""
    rules, ids = rules_of(scene.config), scene.catalogue.ids
    rows = event_rows(events, ids, rules.signals)
    user_rows = scene.user_rows(rows["user"].cast(scene.users.dtype))
    in_tables = scene.reads.user_counts(user_rows, np.full(len(rows), END_OF_TIME))[0] > 0
    users = rows["user"].filter(pl.Series(in_tables)).unique().cast(scene.users.dtype)
    theirs = scene.events.filter(pl.col("user_id").is_in(users.implode()))
    became = Counter(memories.write(rows, rules, in_tables, event_rows(theirs, ids, rules.signals)))
    n_strange = int((rows_of(events["item_id"], ids) < 0).sum())
    refused = {_NO_ITEM: n_strange, _TOO_LATE: became[TOO_LATE], _TOO_OLD: became[TOO_OLD]}
    n_twice = len(events) - n_strange - len(rows)
    return became[NEW], became[DUPLICATE] + n_twice, {reason: n for reason, n in refused.items() if n}
