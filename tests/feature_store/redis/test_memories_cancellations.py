"""Cancelled events are removed from a real Redis server, whatever way events and cancellations arrive."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cancelled_logs import Cancellation, cancellations, frame_of, without
from feature_store import DataError, SignalConfig
from feature_store.point_in_time.event_log import EventLog
from feature_store.redis import RedisMemories
from feature_store.redis.fetch_request import FetchRequest
from feature_store.redis.fetched_log import FetchedLog
from feature_store.redis.memories import NOW, WriteOutcome
from feature_store.redis.memory_settings import MemorySettings
from feature_store.redis.publish_session import PublishSession
from feature_store.redis.publishing import merge_items, merge_users
from online_memories import (
    FROM,
    LONG,
    SHORT,
    WINDOWS,
    assert_same_reads,
    drop,
    fetch,
    loaded_tables,
    new_memories,
    rows,
    write,
)
from slow_reference import Event
from strategies import ITEMS, N_ITEMS, N_USERS, USERS, logs, times

EVERYONE = np.arange(N_USERS)
EVERYTHING = np.arange(N_ITEMS)


@pytest.fixture
def memories(redis_url: str) -> Iterator[RedisMemories]:
    held = new_memories(redis_url)
    yield held
    held.clear()


def fetched(memories: RedisMemories, tables: pl.DataFrame, time: int, settings: MemorySettings = LONG) -> FetchedLog:
    return fetch(memories, loaded_tables(tables), time, settings, items=EVERYTHING)


def same(reads: FetchedLog, frame: pl.DataFrame, time: int, limit: int = LONG.limit, *, with_seen: bool = True) -> None:
    """Every read equals that of the table without the events that are cancelled by then, to the bit.

    An event that was written and no longer fits into a memory is among the seen items only once it is in the tables.
    """
    whole = EventLog.from_frame(without(frame, time), USERS, ITEMS, SignalConfig())
    assert_same_reads(reads, whole, time, limit, users=EVERYONE, items=EVERYTHING)
    times_now = np.full(N_USERS, time)
    seen = [set(row) for row in reads.seen(EVERYONE, times_now).to_lists()]
    assert not with_seen or seen == [set(row) for row in whole.past(EVERYONE, times_now).items.to_lists()]


ONE = ([Event(0, 1, 2), Event(0, 2, 3), Event(1, 1, 4)], [Cancellation(0, 6)])
DROPPED = (
    [Event(0, 1, 2), *(Event(0, item, 40 + item) for item in range(1, 5)), Event(0, 0, 46)],
    [Cancellation(0, 60)],
)
EARLY = ([Event(0, 1, 2), Event(0, 2, 3)], [Cancellation(0, 1), Cancellation(1, 1, delay=5)])


@settings(max_examples=120)
@given(
    case=st.tuples(logs(), cancellations()),
    ways=st.lists(st.sampled_from("tw2"), min_size=22, max_size=22),
    time=times(),
    at_once=st.integers(1, 6),
    seed=st.integers(0, 99),
    again=st.booleans(),
)
@example(case=ONE, ways=list("t" * 22), time=7, at_once=1, seed=0, again=True)
@example(case=ONE, ways=list("tttw" * 6)[:22], time=7, at_once=1, seed=0, again=False)
@example(case=ONE, ways=list("w" * 22), time=7, at_once=1, seed=0, again=False)
@example(case=EARLY, ways=list("w" * 22), time=9, at_once=1, seed=0, again=False)
def test_every_read_equals_that_of_a_table_without_the_cancelled_events(
    redis_url: str,
    case: tuple[list[Event], list[Cancellation]],
    ways: list[str],
    time: int,
    at_once: int,
    seed: int,
    again: bool,
) -> None:
    """Rows come through the tables (t), are written in any order (w), or both (2)."""
    memories = new_memories(redis_url)
    frame = frame_of(*case).with_columns(way=pl.Series(ways[: len(case[0]) + len(case[1])], dtype=pl.String))
    tables = frame.filter(pl.col("way") != "w").drop("way")
    written = frame.filter(pl.col("way") != "t").drop("way")
    written = written.sample(fraction=1, shuffle=True, seed=seed) if len(written) else written
    frame = frame.drop("way")
    memories.publish(tables, ITEMS, LONG, answers_from=FROM)
    for part in written.iter_slices(at_once) if len(written) else ():
        assert set(write(memories, part, tables)) <= {WriteOutcome.NEW, WriteOutcome.DUPLICATE}
        assert set(write(memories, part, tables)) <= {WriteOutcome.DUPLICATE}
    if again:
        memories.publish(frame, ITEMS, LONG, answers_from=FROM)
    last = max((order.time + 1 + (order.delay or 0) for order in case[1]), default=0)
    for read_time in (time, last, last + 9):
        try:
            reads = fetched(memories, tables, read_time)
        except DataError:  # see test_times_before_a_cancellation_are_refused_for_its_user_and_item_only
            assert read_time < last
        else:
            same(reads, frame, read_time)
    # It may be later: the clock does not go back if an event turns out never to have counted.
    assert fetched(memories, tables, NOW).clock >= loaded_tables(frame).log.clock
    memories.clear()


def test_times_before_a_cancellation_are_refused_for_its_user_and_item_only(memories: RedisMemories) -> None:
    frame = frame_of([Event(0, 1, 2), Event(0, 2, 3), Event(1, 3, 4)], [Cancellation(0, 6)])
    memories.publish(frame[:3], ITEMS, LONG, answers_from=FROM)
    same(fetched(memories, frame, 5), frame, 5)
    assert write(memories, frame[3:], frame[:3]) == [WriteOutcome.NEW]

    def fetched_part(users: list[int], items: list[int], time: int) -> FetchedLog:
        request = FetchRequest(
            USERS.gather(users), np.array(users), np.full(len(users), time), np.array(items), np.full(len(items), time)
        )
        return FetchedLog.fetch(memories, LONG, loaded_tables(frame[:3]), USERS, request)

    assert fetched_part([1], [2, 3], 5).past(np.array([1]), np.array([5])).items.to_lists() == [[3]]
    for users, items in (([0], [2]), ([1], [1])):
        with pytest.raises(DataError, match=r"a time that .* cover, got one before 1970-01-01T00:00:00.000007"):
            fetched_part(users, items, 6)
    assert fetched_part([0], [1], 7).clock == 7
    assert fetched_part([0], [1], 7).item_counts(np.array([1]), np.array([7]), WINDOWS)[0].tolist() == [0]


def test_now_is_answered_if_the_tables_cancel_an_event_that_was_only_written(memories: RedisMemories) -> None:
    frame = frame_of([Event(0, 2, 3), Event(1, 1, 4), Event(0, 1, 2)], [Cancellation(2, 6)])
    memories.publish(frame[:2], ITEMS, LONG, answers_from=FROM)
    assert write(memories, frame[2:3], frame[:2]) == [WriteOutcome.NEW]
    memories.publish(pl.concat([frame[:2], frame[3:]]), ITEMS, LONG, answers_from=FROM)
    reads = fetched(memories, frame[:2], NOW)
    assert reads.clock == 7
    same(fetched(memories, frame, 7), frame, 7)


def test_now_is_answered_while_a_cancellation_is_published(memories: RedisMemories) -> None:
    frame = frame_of([Event(0, 1, 2), Event(0, 2, 3), Event(1, 1, 4)], [Cancellation(0, 6)])
    memories.publish(frame[:3], ITEMS, LONG, answers_from=FROM)
    session = PublishSession.begin(memories._server, LONG, FROM, store="", expire_s=None)
    merge_users(session, rows(frame), LONG, keep_s=60)  # and killed here
    reads = fetched(memories, frame[:3], NOW)
    assert reads.past(np.array([0]), np.array([reads.clock])).items.to_lists() == [[2]]
    merge_items(session, rows(frame), FROM, LONG.window)
    assert fetched(memories, frame[:3], NOW).clock == 7


def test_a_table_without_the_column_holds_no_cancellation() -> None:
    frame = frame_of([Event(0, 1, 2), Event(0, 2, 3)], [])
    assert rows(frame.drop("cancels")).equals(rows(frame))
    assert len(rows(frame[:0].drop("cancels"))) == 0


def test_a_user_dropped_by_the_server_is_merged_before_the_event_is_cancelled(memories: RedisMemories) -> None:
    frame = frame_of([Event(0, 1, 2), Event(0, 2, 3)], [Cancellation(0, 6)])
    memories.publish(frame[:2], ITEMS, LONG, answers_from=FROM)
    drop(memories, "user0")
    assert memories._write_rows(rows(frame[2:]), LONG, np.array([True]), rows(frame[:2])["identity"]) == [
        WriteOutcome.NOT_HELD
    ]
    assert write(memories, frame[2:], frame[:2]) == [WriteOutcome.NEW]
    same(fetched(memories, frame[:2], 9), frame, 9)


def test_a_cancellation_of_an_event_too_old_to_be_held_is_refused_and_follows_with_the_tables(
    memories: RedisMemories,
) -> None:
    old = [Event(0, n % N_ITEMS, n) for n in range(60)]
    frame = frame_of(old, [Cancellation(3, 61), Cancellation(52, 61), Cancellation(59, 61)])
    memories.publish(frame[:60], ITEMS, SHORT)
    # The first is only counted, the second is no longer in its user's memory, the third is held.
    assert write(memories, frame[60:], frame[:60], SHORT) == [
        WriteOutcome.TOO_OLD,
        WriteOutcome.TOO_OLD,
        WriteOutcome.NEW,
    ]
    memories.publish(frame, ITEMS, SHORT)
    same(fetched(memories, frame, 62, SHORT), frame, 62, SHORT.limit)


def test_a_cancellation_during_a_publish_is_refused_if_its_event_is_only_counted_already(
    memories: RedisMemories, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = frame_of([Event(0, 0, 1), Event(0, 1, 30)], [Cancellation(0, 35)])
    memories.publish(frame[:1], ITEMS, LONG, answers_from=5)
    kind = type(memories._server)
    call = kind.call

    def killed_at_last(self: object, name: str, *arguments: object, **options: object) -> object:
        if name == "finish_publish":
            raise KeyboardInterrupt
        return call(self, name, *arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(kind, "call", killed_at_last)
        with pytest.raises(KeyboardInterrupt):
            memories.publish(frame[:2], ITEMS, LONG, answers_from=30)
    assert write(memories, frame[2:], frame[:2]) == ["o"]


def test_publishing_tables_that_lack_a_cancellation_does_not_bring_the_event_back(memories: RedisMemories) -> None:
    frame = frame_of([Event(0, 1, 2), Event(0, 2, 3), Event(1, 1, 3)], [Cancellation(0, 6)])
    memories.publish(frame[:3], ITEMS, LONG, answers_from=FROM)
    write(memories, frame[3:], frame[:3])
    memories.publish(frame[:3], ITEMS, LONG, answers_from=FROM)
    same(fetched(memories, frame[:3], 9), frame, 9)
    memories.publish(frame, ITEMS, LONG, answers_from=FROM)
    same(fetched(memories, frame, 9), frame, 9)


@settings(max_examples=40)
@given(case=st.tuples(logs(late=False), cancellations()), user=st.integers(0, N_USERS - 1), written=st.booleans())
def test_a_forgotten_user_leaves_no_cancellation(
    redis_url: str, case: tuple[list[Event], list[Cancellation]], user: int, written: bool
) -> None:
    import redis

    memories = new_memories(redis_url)
    frame = frame_of(*case)
    memories.publish(frame[:0] if written else frame, ITEMS, LONG, answers_from=FROM)
    if written and len(frame):
        write(memories, frame, frame[:0])
    mine = pl.col("user_id") == USERS[user]
    memories.forget_user(USERS[user], rows(frame.filter(mine)))
    left = frame.filter(~mine)
    memories.publish(left, ITEMS, LONG, answers_from=FROM)
    same(fetched(memories, frame, 40), left, 40)
    client = redis.Redis.from_url(redis_url)
    keys = list(client.scan_iter(f"{memories._server.prefix}:*"))
    fields = client.hkeys(f"{memories._server.prefix}:dropped")
    assert USERS[user].encode() not in b" ".join([*keys, *fields])
    memories.forget_item(ITEMS[0])
    left = left.filter(pl.col("item_id") != ITEMS[0])
    memories.publish(left, ITEMS, LONG, answers_from=FROM)
    names = b" ".join(client.scan_iter(f"{memories._server.prefix}:*"))
    assert f":i:{ITEMS[0]}".encode() not in names
    same(fetched(memories, left, 40), left, 40)
    memories.clear()


@settings(max_examples=60)
@given(case=st.tuples(logs(late=False), cancellations()), n=st.integers(0, 14), loaded=st.integers(0, 14))
@example(case=DROPPED, n=6, loaded=6)
@example(case=DROPPED, n=6, loaded=0)
def test_short_memories_answer_rightly_or_refuse(
    redis_url: str, case: tuple[list[Event], list[Cancellation]], n: int, loaded: int
) -> None:
    """Rows are written as they become known, of which four a user are held, by a process with these or older tables."""
    memories = new_memories(redis_url)
    frame = frame_of(*case).sort(pl.max_horizontal("timestamp", "available_at"), maintain_order=True)
    memories.publish(frame[:n], ITEMS, SHORT)
    theirs = frame[: min(n, loaded)]
    taken = [write(memories, row, theirs, SHORT) for row in frame[n:].iter_slices(1)] if n < len(frame) else []
    refused = {state for became in taken for state in became} - {WriteOutcome.NEW, WriteOutcome.DUPLICATE}
    assert refused <= {WriteOutcome.TOO_OLD, WriteOutcome.TOO_LATE}
    try:
        reads = fetched(memories, frame[:n], 70, SHORT)
    except DataError:  # so many of a user's events were cancelled that fewer are held than a memory answers with
        pass
    else:
        if not refused:
            same(reads, frame, 70, SHORT.limit, with_seen=False)
    memories.publish(frame, ITEMS, SHORT)
    same(fetched(memories, frame, 70, SHORT), frame, 70, SHORT.limit)
    memories.clear()


def test_a_cancellation_from_a_process_without_its_event_is_refused_if_that_may_be_only_counted(
    memories: RedisMemories,
) -> None:
    often = [Event(0, n % 4, n) for n in range(60)]
    frame = frame_of(
        [*often, Event(1, 1, 2), Event(1, 2, 3), Event(0, 1, 70), Event(0, 4, 70), Event(1, 1, 70)],
        [Cancellation(target, 61 + n) for n, target in enumerate((3, 60, 62, 63, 64))],
    )
    tables, stale, orders = frame[:62], pl.concat([frame[59:60], frame[61:62]]), frame[65:]
    memories.publish(tables, ITEMS, SHORT)
    # Dropped from its user's memory; in it, but older than all windows; still to come, which only the last two tell: of
    # an item, and of a user, all of whose events are held.
    assert write(memories, orders, stale, SHORT) == [
        WriteOutcome.TOO_OLD,
        WriteOutcome.TOO_OLD,
        WriteOutcome.TOO_OLD,
        WriteOutcome.NEW,
        WriteOutcome.NEW,
    ]
    late = frame[62:65]
    assert write(memories, late[1:], stale, SHORT) == [WriteOutcome.NEW, WriteOutcome.NEW]
    same(fetched(memories, tables, 71, SHORT), pl.concat([tables, late[1:], orders[3:]]), 71, SHORT.limit)
    # Refused cancellations follow with the tables; one of them waits there for its event.
    memories.publish(pl.concat([tables, orders]), ITEMS, SHORT)
    assert write(memories, late[:1], tables, SHORT) == [WriteOutcome.NEW]
    same(fetched(memories, pl.concat([tables, orders]), 71, SHORT), frame, 71, SHORT.limit)


def test_a_cancellation_for_a_user_dropped_by_the_server_is_refused_if_the_tables_lack_the_user(
    memories: RedisMemories,
) -> None:
    frame = frame_of([Event(0, 1, 2), Event(1, 1, 3)], [Cancellation(0, 6)])
    memories.publish(frame[:2], ITEMS, LONG, answers_from=FROM)
    drop(memories, "user0")
    assert write(memories, frame[2:], frame[1:2]) == [WriteOutcome.TOO_OLD]


@pytest.mark.parametrize("cancelled_at", [6, 0])
def test_an_event_sent_again_is_seen_although_the_tables_cancel_its_twin(
    memories: RedisMemories, cancelled_at: int
) -> None:
    # Item 1 has left the memory of two events, so only the tables show that the user has it.
    log = [Event(0, 1, 2), Event(0, 1, 2), Event(0, 2, 3), Event(0, 3, 4), Event(0, 4, 5)]
    frame = frame_of(log, [Cancellation(0, cancelled_at)])
    memories.publish(frame, ITEMS, SHORT)
    at = np.array([8])
    for tables in (frame, frame[:5]):
        seen = fetched(memories, tables, 8, SHORT).seen(np.array([0]), at).to_lists()
        assert set(seen[0]) == {1, 2, 3, 4}
