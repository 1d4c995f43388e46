from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from feature_store import DataError, SignalConfig
from feature_store.point_in_time.event_log import EventLog
from feature_store.redis import RedisMemories
from feature_store.redis.event_rows import event_rows
from feature_store.redis.fetched_log import FetchedLog
from feature_store.redis.memories import NOW
from online_memories import (
    FROM,
    LONG,
    assert_same_reads,
    fetch,
    loaded_log,
    new_memories,
    rows_of_log,
)
from slow_reference import Event
from strategies import ITEMS, LAST_TIME, N_ITEMS, N_USERS, USERS, event_frame, event_log


@pytest.fixture
def memories(redis_url: str) -> Iterator[RedisMemories]:
    held = new_memories(redis_url)
    yield held
    held.clear()


def same_as_log(reads: FetchedLog, whole: EventLog, time: int, limit: int) -> None:
    assert_same_reads(reads, whole, time, limit, users=np.arange(-1, N_USERS), items=np.arange(N_ITEMS + 2))


def test_the_last_event_of_an_item_cannot_be_read(memories: RedisMemories) -> None:
    memories.publish(event_frame([Event(0, 1, 3)]), ITEMS, LONG, answers_from=FROM)
    reads = fetch(memories, loaded_log(event_log([Event(0, 1, 3)])), 9)
    with pytest.raises(DataError, match=r"online: expected .* last event .* Load the model without `online`"):
        reads.item_lasts(np.array([1]), np.array([9]))


def test_a_user_of_no_table_is_read_by_a_process_that_did_not_write_it(memories: RedisMemories) -> None:
    memories.publish(event_frame([Event(0, 1, 3)]), ITEMS, LONG)
    frame = event_frame([Event(1, 2, 4), Event(1, 3, 4)]).with_columns(user_id=pl.lit("new"))
    memories.write(event_rows(frame, ITEMS, SignalConfig()), LONG, np.array([False, False]), rows_of_log([]))
    reads = fetch(memories, loaded_log(event_log([])), NOW, users=pl.Series("user_id", ["nobody", "new", None]))
    assert reads.users.to_list() == [*USERS, "new"]
    assert reads.past(np.array([N_USERS, -1]), np.array([5, 5])).items.to_lists() == [[2, 3], []]
    with pytest.raises(ValueError, match="were fetched"):
        reads.past(np.array([0]), np.array([5]))
    with pytest.raises(ValueError, match="were fetched"):
        reads.past(np.array([N_USERS]), np.array([6]))


def test_many_items_and_users_are_read_in_several_round_trips_as_of_one_clock(
    memories: RedisMemories, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = [Event(user, item, user + item) for user in range(N_USERS) for item in range(N_ITEMS)]
    memories.publish(event_frame(log), ITEMS, LONG)
    monkeypatch.setattr("feature_store.redis.fetch_request.PAIRS_PER_CALL", 2)
    same_as_log(fetch(memories, loaded_log(event_log([])), LAST_TIME), event_log(log), LAST_TIME, LONG.limit)
    reads = fetch(memories, loaded_log(event_log([])), NOW)
    same_as_log(reads, event_log(log), reads.clock, LONG.limit)
