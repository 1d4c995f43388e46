"""Whatever a server loses of what was published or written, an answer is right or refused: never from what is left."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from cancelled_logs import Cancellation, cancellations, frame_of, without
from feature_store import DataError, SignalConfig
from feature_store.point_in_time.event_log import EventLog
from feature_store.redis import LostDataError, RedisMemories
from feature_store.redis.memories import WriteOutcome
from online_memories import (
    FROM,
    LONG,
    SHORT,
    assert_same_reads,
    drop,
    fetch,
    loaded_log,
    loaded_tables,
    new_memories,
    rows_of_log,
    write,
    write_log,
)
from redis_server import free_port, running
from slow_reference import Event
from strategies import ITEMS, N_ITEMS, N_USERS, USERS, event_frame, event_log, logs

NOTHING = event_log([])
LOG = [Event(0, 1, 3), Event(0, 2, 4), Event(1, 1, 5), Event(1, 4, 5)]
NEW = [Event(2, 3, 7), Event(0, 3, 8)]
CANCELLED = frame_of([*LOG, *NEW], [Cancellation(0, 6), Cancellation(99, 7), Cancellation(3, 9)])


@pytest.fixture
def memories(redis_url: str) -> Iterator[RedisMemories]:
    held = new_memories(redis_url)
    yield held
    held.clear()


def same_as_log(memories: RedisMemories, log: list[Event], time: int) -> None:
    reads = fetch(memories, loaded_log(NOTHING), time)
    users, items = np.arange(-1, N_USERS), np.arange(N_ITEMS + 2)
    assert_same_reads(reads, event_log(log), time, LONG.limit, users=users, items=items)


def keys_of(memories: RedisMemories) -> list[bytes]:
    return sorted(memories._server.client.scan_iter(f"{memories._server.prefix}:*"))


def test_the_loss_of_any_one_key_shows_in_reads_and_writes_and_two_publishes_mend_it(memories: RedisMemories) -> None:
    client = memories._server.client
    memories.publish(CANCELLED[:4], ITEMS, SHORT, answers_from=FROM)
    write(memories, CANCELLED[4:], CANCELLED[:4], SHORT)
    memories.forget_user("user2", rows_of_log([]))
    fetch(memories, loaded_tables(CANCELLED), 20, SHORT)
    keys = keys_of(memories)
    kinds = {key.split(b":")[1] for key in keys}
    assert kinds >= {b"meta", b"u", b"i", b"x", b"w", b"items", b"ids", b"users", b"kept", b"dead", b"forgotten_users"}
    rest = event_frame([Event(user, item, 15) for user in range(N_USERS) for item in range(N_ITEMS)])
    for key in keys:
        kept = client.dump(key)
        client.delete(key)
        with pytest.raises(LostDataError, match="recmem publish"):
            fetch(memories, loaded_tables(CANCELLED), 20, SHORT)
        with pytest.raises(LostDataError, match="recmem publish"):
            write(memories, rest, CANCELLED, SHORT)
        client.restore(key, 0, kept)
    fetch(memories, loaded_tables(CANCELLED), 20, SHORT)  # all is there again, and nothing was written meanwhile
    for key in keys:
        client.delete(key)
        try:
            memories.publish(CANCELLED, ITEMS, SHORT, answers_from=FROM)
        except LostDataError:
            memories.publish(CANCELLED, ITEMS, SHORT, answers_from=FROM)
        reads = fetch(memories, loaded_tables(CANCELLED), 20, SHORT)
        whole = EventLog.from_frame(without(CANCELLED, 20), USERS, ITEMS, SignalConfig())
        assert_same_reads(reads, whole, 20, SHORT.limit, users=np.arange(N_USERS), items=np.arange(N_ITEMS))


@settings(max_examples=60)
@given(
    case=st.tuples(logs(), cancellations()),
    n=st.integers(0, 22),
    lost=st.lists(st.integers(0, 99), min_size=1, max_size=5),
    later=st.booleans(),
)
def test_where_any_keys_are_lost_an_answer_is_right_or_refused(
    redis_url: str, case: tuple[list[Event], list[Cancellation]], n: int, lost: list[int], later: bool
) -> None:
    memories = new_memories(redis_url)
    frame = frame_of(*case)
    memories.publish(frame[:n], ITEMS, LONG, answers_from=FROM)
    write(memories, frame[n:], frame[:n])
    keys = keys_of(memories)
    memories._server.client.delete(*(keys[place % len(keys)] for place in lost))
    if later:
        new = event_frame([Event(0, 0, 13)])
        with suppress(LostDataError):
            write(memories, new, frame)
            frame = pl.concat([frame, new])
    with pytest.raises(LostDataError):
        fetch(memories, loaded_tables(frame), 40)
    for user in range(N_USERS):  # each alone, as an answer may need only what is still there
        try:
            reads = fetch(memories, loaded_tables(frame), 40, users=USERS[user : user + 1], items=np.array([user]))
        except LostDataError:
            continue
        whole = EventLog.from_frame(without(frame, 40), USERS, ITEMS, SignalConfig())
        places = np.array([user])
        assert_same_reads(reads, whole, 40, LONG.limit, users=places, items=places)
    memories.clear()


def test_other_users_and_items_than_an_evicted_one_are_answered(memories: RedisMemories) -> None:
    memories.publish(event_frame(LOG), ITEMS, LONG, answers_from=FROM)
    memories._server.client.delete(memories._server.key("u:user0"))
    with pytest.raises(LostDataError, match=r"user 'user0' without what was written: .* evicted or lost it"):
        same_as_log(memories, LOG, 9)
    reads = fetch(memories, loaded_log(NOTHING), 9, users=USERS[1:])
    users, items = np.array([1, 2]), np.arange(N_ITEMS)
    assert_same_reads(reads, event_log(LOG), 9, LONG.limit, users=users, items=items)
    with pytest.raises(LostDataError, match="user 'user0'"):
        write_log(memories, [Event(1, 1, 7), Event(0, 1, 7)], LOG)
    assert write_log(memories, [Event(1, 1, 7)], LOG) == [WriteOutcome.NEW]


def test_a_user_who_was_dropped_after_long_is_no_loss(memories: RedisMemories) -> None:
    memories.publish(event_frame(LOG), ITEMS, LONG, answers_from=FROM)
    drop(memories, "user0")
    assert not memories._server.client.exists(memories._server.key("u:user0"))
    reads = fetch(memories, loaded_log(event_log(LOG)), 9)
    assert_same_reads(reads, event_log(LOG), 9, LONG.limit, users=np.arange(N_USERS), items=np.arange(N_ITEMS))


def test_a_lost_answer_is_that_of_the_tables_where_those_were_asked_for(redis_url: str) -> None:
    # `recmem.dataset` answers from the tables on UnavailableError; the rest is tested there.
    assert issubclass(LostDataError, DataError)
    memories = new_memories(redis_url)
    with pytest.raises(LostDataError, match="unfinished publish"):
        fetch(memories, loaded_log(NOTHING), 9)


@pytest.mark.parametrize("saved_after", ["publish", "first write"])
def test_a_server_set_back_to_a_snapshot_is_found_by_writers(tmp_path: Path, saved_after: str) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    writer, reader = RedisMemories(url, timeout=5), RedisMemories(url, timeout=5)
    with running(tmp_path, port):
        client = redis.Redis(host="127.0.0.1", port=port)
        writer.publish(event_frame(LOG), ITEMS, LONG, answers_from=FROM)
        if saved_after == "publish":
            client.save()
        write_log(writer, NEW[:1], LOG)
        if saved_after == "first write":
            client.save()
        same_as_log(reader, [*LOG, *NEW[:1]], 20)
        write_log(writer, NEW[1:], LOG)
        client.close()
    with running(tmp_path, port):
        for _ in range(2):
            with pytest.raises(LostDataError, match="an older state than this process has read"):
                fetch(writer, loaded_log(NOTHING), 20)
        if saved_after == "publish":
            with pytest.raises(LostDataError, match="an older state"):
                fetch(reader, loaded_log(NOTHING), 20)
        # A process that has seen nothing newer cannot know; it gets a warning that the server was restarted.
        newcomer = RedisMemories(url, timeout=5)
        fetch(newcomer, loaded_log(NOTHING), 20)
        assert any("restarted or replaced" in sentence for sentence in newcomer.warnings())
        # Others that write on do not make the lost events come back.
        for time in range(10, 16):
            write_log(newcomer, [Event(1, 2, time)], LOG)
        with pytest.raises(LostDataError, match="an older state"):
            fetch(writer, loaded_log(NOTHING), 20)
        log = [*LOG, *NEW, *(Event(1, 2, time) for time in range(10, 16))]
        newcomer.publish(event_frame(log), ITEMS, LONG, answers_from=FROM)
        for memories in (writer, reader, newcomer):
            same_as_log(memories, log, 20)


def test_a_server_restarted_or_flushed_after_a_publish_is_refused_as_not_published(tmp_path: Path) -> None:
    port = free_port()
    memories = RedisMemories(f"redis://127.0.0.1:{port}/0", timeout=5)
    with running(tmp_path, port):
        memories.publish(event_frame(LOG), ITEMS, LONG, answers_from=FROM)
    with running(tmp_path, port):
        for lose in (lambda: None, memories._server.client.flushall):
            lose()
            with pytest.raises(LostDataError, match=r"none, or an unfinished publish. Run `recmem publish`"):
                same_as_log(memories, LOG, 9)
            with pytest.raises(LostDataError, match="none, or an unfinished publish"):
                write_log(memories, NEW, LOG)
            memories.publish(event_frame(LOG), ITEMS, LONG, answers_from=FROM)
            same_as_log(memories, LOG, 9)


def test_every_call_distinguishes_another_store_from_this_one(memories: RedisMemories) -> None:
    mine, theirs = memories.of_store("mine"), memories.of_store("theirs")
    mine.publish(event_frame(LOG), ITEMS, LONG, answers_from=FROM)
    same_as_log(mine, LOG, 9)
    same_as_log(memories, LOG, 9)
    for refused in (
        lambda: fetch(theirs, loaded_log(NOTHING), 9),
        lambda: write_log(theirs, NEW, LOG),
        lambda: theirs.forget_user("user0", rows_of_log(LOG)),
        lambda: theirs.forget_item("i1"),
    ):
        with pytest.raises(DataError, match=r"got memories of another store. Check the name"):
            refused()
    with pytest.raises(DataError, match=r"got memories of another store .* another name .* --replace"):
        theirs.publish(event_frame(LOG), ITEMS, LONG)
    same_as_log(mine, LOG, 9)
    theirs.publish(event_frame(LOG[:1]), ITEMS, LONG, answers_from=FROM, replaces=True)
    same_as_log(theirs, LOG[:1], 9)
    with pytest.raises(DataError, match="another store"):
        same_as_log(mine, LOG, 9)


def test_forgetting_hides_no_loss(memories: RedisMemories) -> None:
    client = memories._server.client
    for lost, forget in (
        ("i:i1", lambda: memories.forget_user("user0", rows_of_log(LOG[:2]))),
        ("u:user1", lambda: memories.forget_item("i4")),
        ("items", lambda: memories.forget_user("user0", rows_of_log(LOG[:2]))),
        ("users", lambda: memories.forget_item("i1")),
    ):
        memories.publish(event_frame(LOG), ITEMS, LONG, answers_from=FROM, replaces=True)
        client.delete(memories._server.key(lost))
        forget()
        with pytest.raises(LostDataError):
            fetch(memories, loaded_log(NOTHING), 9)


def test_keys_that_outlive_their_meta_hash_are_not_taken_for_written_events(memories: RedisMemories) -> None:
    memories.publish(event_frame(LOG), ITEMS, LONG, answers_from=FROM)
    memories._server.client.delete(memories._server.key("meta"))
    (warning,) = memories.publish(event_frame(LOG[:2]), ITEMS, LONG, answers_from=FROM).warnings
    assert "published anew from the tables" in warning
    same_as_log(memories, LOG[:2], 9)


@pytest.mark.parametrize("policy", ["allkeys-random", "allkeys-lru"])
def test_eviction_by_the_server_itself_is_refused_or_harmless(tmp_path: Path, policy: str) -> None:
    port = free_port()
    chance = random.Random(policy)
    with running(tmp_path, port, ["--maxmemory-policy", policy, "--maxmemory-samples", "1"]):
        memories = RedisMemories(f"redis://127.0.0.1:{port}/0", timeout=5)
        client = memories._server.client
        n_refused = 0
        for _ in range(10):
            try:
                memories.publish(event_frame(LOG), ITEMS, LONG, answers_from=FROM)
                n_before = client.dbsize()
                while client.dbsize() > n_before - chance.randint(1, 4):
                    client.config_set("maxmemory", 1)
                    client.get("nothing")
                    client.config_set("maxmemory", 0)
                same_as_log(memories, LOG, 9)
            except LostDataError:
                n_refused += 1
        assert n_refused > 5
