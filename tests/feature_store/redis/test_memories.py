"""Memories and counters in a real Redis read to the bit as the log that they hold, however they came there."""

from __future__ import annotations

import time as clock
from collections.abc import Iterator
from itertools import count

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feature_store import DataError, SignalConfig
from feature_store.point_in_time.event_log import EventLog
from feature_store.redis import RedisMemories
from feature_store.redis.event_rows import event_rows
from feature_store.redis.fetched_log import FetchedLog
from feature_store.redis.memories import NOW, WriteOutcome
from feature_store.redis.memory_settings import MemorySettings
from online_memories import (
    FROM,
    LONG,
    SHORT,
    WINDOWS,
    assert_same_reads,
    drop,
    fetch,
    loaded_log,
    new_memories,
    rows_of_log,
    write_log,
)
from slow_reference import Event
from strategies import ITEMS, N_ITEMS, N_USERS, USERS, event_frame, event_log, logs, times

NAMES = count()
TIES = [Event(0, item, 5) for item in range(5)] + [Event(0, 0, 6), Event(0, 1, 5, "skip")]


@pytest.fixture
def memories(redis_url: str) -> Iterator[RedisMemories]:
    held = RedisMemories(f"{redis_url}#test *[{next(NAMES)}]", timeout=5)  # a name that Redis could read as a pattern
    yield held
    held.clear()


def same_as_log(reads: FetchedLog, whole: EventLog, time: int, limit: int) -> None:
    assert_same_reads(reads, whole, time, limit, users=np.arange(-1, N_USERS), items=np.arange(N_ITEMS + 2))


@settings(max_examples=50)
@given(log=logs(), ways=st.lists(st.sampled_from("tw2"), min_size=14, max_size=14), time=times(), again=st.booleans())
@example(TIES, list("twtwtw2" * 2), 9, True)
@example(TIES, list("ttttttt" * 2), 6, False)
def test_every_read_equals_that_of_the_log(
    redis_url: str, log: list[Event], ways: list[str], time: int, again: bool
) -> None:
    """Events come through the tables (t), are written (w), or both (2), and what is written twice counts once."""
    memories = new_memories(redis_url)
    parts = list(zip(log, ways, strict=False))
    tables = [event for event, way in parts if way != "w"]
    written = [event for event, way in parts if way != "t"]
    memories.publish(event_frame(tables), ITEMS, LONG, answers_from=FROM)
    became = write_log(memories, written, tables, LONG)
    assert became.count(WriteOutcome.NEW) == sum(way == "w" for _, way in parts)
    assert set(write_log(memories, written, tables)) <= {WriteOutcome.DUPLICATE}
    if again:
        memories.publish(event_frame(log), ITEMS, LONG, answers_from=FROM)
    reads = fetch(memories, loaded_log(event_log(tables)), time)
    same_as_log(reads, event_log(log), time, LONG.limit)
    assert reads.clock == fetch(memories, loaded_log(event_log(tables)), NOW).clock == event_log(log).clock
    seen = reads.seen(np.arange(N_USERS), np.full(N_USERS, time))
    expected = event_log(log).past(np.arange(N_USERS), np.full(N_USERS, time)).items
    assert [set(row) for row in seen.to_lists()] == [set(row) for row in expected.to_lists()]
    memories.clear()


@settings(max_examples=50)
@given(log=logs(late=False), n=st.integers(0, 14), ahead=st.integers(0, 4))
@example(TIES, 5, 0)
@example(TIES, 0, 0)
def test_short_memories_answer_as_the_log_from_the_newest_event_on(
    redis_url: str, log: list[Event], n: int, ahead: int
) -> None:
    """Events are written as they happen, of which four a user are held, and read from the newest one on."""
    memories = new_memories(redis_url)
    log = sorted(log, key=lambda event: event.time)
    memories.publish(event_frame(log[:n]), ITEMS, SHORT)
    for event in log[n:]:
        write_log(memories, [event], log[:n], SHORT)
    time = event_log(log).clock + ahead
    same_as_log(fetch(memories, loaded_log(event_log(log[:n])), time, SHORT), event_log(log), time, SHORT.limit)
    memories.publish(event_frame(log), ITEMS, SHORT)
    same_as_log(fetch(memories, loaded_log(event_log(log)), time, SHORT), event_log(log), time, SHORT.limit)
    memories.clear()


def test_the_number_of_events_held_of_a_user_and_of_an_item_is_bounded(memories: RedisMemories, redis_url: str) -> None:
    import redis

    old = [Event(0, n % N_ITEMS, n) for n in range(60)]
    memories.publish(event_frame(old), ITEMS, SHORT)
    assert set(write_log(memories, [Event(0, 0, time) for time in range(60, 90)], old, SHORT)) == {WriteOutcome.NEW}
    client, prefix = redis.Redis.from_url(redis_url), memories._server.prefix
    assert client.zcard(f"{prefix}:u:user0") == 4
    assert client.hget(f"{prefix}:dropped", "user0") == b"86"
    memories.publish(event_frame([*old, *(Event(0, 0, time) for time in range(60, 90))]), ITEMS, SHORT)
    assert 0 < client.zcard(f"{prefix}:i:i0") <= 18  # two of the longest windows
    with pytest.raises(DataError, match=r"after which user 'user0' had more events than are held"):
        fetch(memories, loaded_log(event_log([])), 86, SHORT)
    with pytest.raises(DataError, match=r"expected a time that .* one before 1970"):
        fetch(memories, loaded_log(event_log([])), 20, SHORT)
    assert write_log(memories, [Event(1, 1, 5)], [], SHORT) == [WriteOutcome.TOO_LATE]


def test_a_user_dropped_by_the_server_is_read_from_the_tables_and_merged_again_on_a_write(
    memories: RedisMemories, redis_url: str
) -> None:
    import redis

    tables = [Event(0, 1, 3), Event(0, 2, 4), Event(1, 1, 5)]
    memories.publish(event_frame(tables), ITEMS, LONG, answers_from=FROM)
    client, prefix = redis.Redis.from_url(redis_url), memories._server.prefix
    assert 0 < client.zscore(f"{prefix}:kept", "user0") - clock.time() <= 90 * 86_400
    drop(memories, "user0")
    assert not client.exists(f"{prefix}:u:user0")
    same_as_log(fetch(memories, loaded_log(event_log(tables)), 9), event_log(tables), 9, LONG.limit)
    new = [Event(0, 3, 7)]
    assert memories._write_rows(rows_of_log(new), LONG, np.array([True]), rows_of_log(tables)["identity"]) == [
        WriteOutcome.NOT_HELD
    ]
    assert write_log(memories, new, tables) == [WriteOutcome.NEW]
    same_as_log(fetch(memories, loaded_log(event_log([])), 9), event_log(tables + new), 9, LONG.limit)


@pytest.mark.parametrize("named", [True, False])
def test_one_event_id_counts_once_whatever_its_other_columns(memories: RedisMemories, named: bool) -> None:
    frame = event_frame([Event(0, 1, 3), Event(0, 2, 5)]).with_columns(event_id=pl.lit("e1" if named else None))
    memories.publish(frame[:0], ITEMS, LONG, answers_from=FROM)
    one, other = (event_rows(frame[n : n + 1], ITEMS, SignalConfig()) for n in (0, 1))
    assert memories.write(one, LONG, np.array([False]), one[:0]) == [WriteOutcome.NEW]
    assert memories.write(other, LONG, np.array([False]), one[:0]) == [
        WriteOutcome.DUPLICATE if named else WriteOutcome.NEW
    ]
    memories.publish(frame[:1], ITEMS, LONG, answers_from=FROM)
    counts = fetch(memories, loaded_log(event_log([])), 9).user_counts(np.array([0]), np.array([9]))[0]
    assert counts.tolist() == [1 if named else 2]


@settings(max_examples=50)
@given(log=logs(late=False), user=st.integers(0, N_USERS - 1), item=st.integers(0, N_ITEMS - 1))
def test_a_forgotten_user_or_item_leaves_no_trace_and_no_effect(
    redis_url: str, log: list[Event], user: int, item: int
) -> None:
    import redis

    memories = new_memories(redis_url)
    memories.publish(event_frame(log), ITEMS, LONG, answers_from=FROM)
    mine = [event for event in log if event.user == user]
    assert (memories.forget_user(USERS[user], rows_of_log(mine)) > 0) == bool(mine)
    left = [event for event in log if event.user != user]
    assert (memories.forget_item(ITEMS[item]) > 0) == any(event.item == item for event in log)
    left = [event for event in left if event.item != item]
    memories.publish(event_frame(left), ITEMS, LONG, answers_from=FROM)
    # The clock does not go back, so the read is later than all events.
    same_as_log(fetch(memories, loaded_log(event_log([])), 30), event_log(left), 30, LONG.limit)
    client = redis.Redis.from_url(redis_url)
    held = b"".join(client.dump(key) or b"" for key in client.scan_iter(f"{memories._server.prefix}:*"))
    names = b" ".join(client.scan_iter(f"{memories._server.prefix}:*"))
    assert USERS[user].encode() not in held + names
    # A process that has older tables does not read them for this user, nor fill him from them when he comes back.
    mine = [event for event in mine if event.item != item]
    reads = fetch(memories, loaded_log(event_log(mine)), 30)
    assert reads.seen(np.array([user]), np.array([30])).to_lists() == [[]]
    same_as_log(reads, event_log(left), 30, LONG.limit)
    back = Event(user, item, 20)
    assert write_log(memories, [back], [*mine, back]) == [WriteOutcome.NEW]
    same_as_log(fetch(memories, loaded_log(event_log(mine)), 30), event_log([*left, back]), 30, LONG.limit)
    assert f":i:{ITEMS[item]}".encode() not in names
    memories.clear()
    assert not list(client.scan_iter(f"{memories._server.prefix}:*"))


def test_reads_and_publishes_with_other_settings_are_refused(memories: RedisMemories) -> None:
    with pytest.raises(DataError, match=r"got none, or an unfinished publish. Run `recmem publish`"):
        fetch(memories, loaded_log(event_log([])), 3)
    memories.publish(event_frame([Event(0, 1, 3)]), ITEMS, LONG, answers_from=0)
    assert memories.settings() == MemorySettings(SignalConfig(), (9,), 50)
    others = MemorySettings(SignalConfig(positive_from=5.0), WINDOWS, 50)
    with pytest.raises(DataError, match="expected memories with this model's settings, got memories with different"):
        fetch(memories, loaded_log(event_log([])), 3, others)
    with pytest.raises(DataError, match=r"model's settings under 'test .* another name"):
        memories.publish(event_frame([Event(0, 1, 3)]), ITEMS, others)
    with pytest.raises(DataError, match=r"windows of at most 1\.042e-10 days"):
        fetch(memories, loaded_log(event_log([])), 3, MemorySettings(SignalConfig(), (1, 3, 10), 50))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"timeout": 0}, "timeout"), ({"keep_days": -1}, "keep_days"), ({"on_failure": "cold"}, "'error' or 'tables'")],
)
def test_invalid_arguments_are_refused(wrong: dict, said: str) -> None:
    with pytest.raises(DataError, match=said):
        RedisMemories("redis://localhost", **wrong)
    with pytest.raises(DataError, match="expected redis://host:port/db, got 'http://x'"):
        RedisMemories("http://x")
