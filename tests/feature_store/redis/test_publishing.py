from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from feature_store import DataError
from feature_store.point_in_time.event_log import EventLog
from feature_store.redis import RedisMemories, publishing
from feature_store.redis.fetched_log import FetchedLog
from feature_store.redis.publishing import PublishReceipt
from online_memories import (
    LONG,
    WINDOWS,
    assert_same_reads,
    fetch,
    loaded_log,
    new_memories,
)
from slow_reference import Event
from strategies import ITEMS, N_ITEMS, N_USERS, event_frame, event_log


@pytest.fixture
def memories(redis_url: str) -> Iterator[RedisMemories]:
    held = new_memories(redis_url)
    yield held
    held.clear()


def same_as_log(reads: FetchedLog, whole: EventLog, time: int, limit: int) -> None:
    assert_same_reads(reads, whole, time, limit, users=np.arange(-1, N_USERS), items=np.arange(N_ITEMS + 2))


def test_a_killed_publish_is_not_read_and_can_be_repeated(
    memories: RedisMemories, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = [Event(0, 1, 3), Event(1, 2, 4)]
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "merge_items", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            memories.publish(event_frame(log), ITEMS, LONG)
    with pytest.raises(DataError, match="unfinished publish"):
        fetch(memories, loaded_log(event_log([])), 9)
    memories.publish(event_frame(log), ITEMS, LONG)
    same_as_log(fetch(memories, loaded_log(event_log([])), 9), event_log(log), 9, LONG.limit)


def test_a_publish_reports_what_it_wrote(memories: RedisMemories) -> None:
    log = [Event(0, 1, 3), Event(0, 2, 4), Event(1, 1, 20)]
    receipt = memories.publish(event_frame(log), ITEMS, LONG)
    # The newest event is known one microsecond after it happened.
    assert receipt == PublishReceipt(n_users=2, n_items=2, n_events=3, horizon=21 - LONG.window)


def test_progress_counts_users_and_items(memories: RedisMemories) -> None:
    n_done: list[int] = []
    log = [Event(0, 1, 3), Event(0, 2, 4), Event(1, 1, 20)]
    memories.publish(event_frame(log), ITEMS, LONG, on_progress=n_done.append)
    assert sum(n_done) == 4


def test_an_item_that_has_left_the_tables_has_no_counters_after_a_publish(memories: RedisMemories) -> None:
    log = [Event(0, 1, 3), Event(0, 2, 4)]
    memories.publish(event_frame(log), ITEMS, LONG, answers_from=20)
    assert sorted(memories._server.fields("items")) == [b"i1", b"i2"]
    memories.publish(event_frame(log[1:]), ITEMS, LONG, answers_from=20)
    assert list(memories._server.fields("items")) == [b"i2"]
    items = np.array([1, 2])
    in_all, *_ = fetch(memories, loaded_log(event_log(log[1:])), 20).item_counts(items, np.array([20, 20]), WINDOWS)
    assert in_all.tolist() == [0, 1]
