"""Memories and counters in a real Redis read to the bit as the log that they hold, however they came there."""

from __future__ import annotations

import time as clock
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feature_store import DataError, SignalConfig
from feature_store.point_in_time.event_log import EventLog, rows_of
from feature_store.redis import RedisMemories, UnavailableError
from feature_store.redis.loaded_tables import Loaded
from feature_store.redis.memories import DUPLICATE, NEW, NOT_HELD, NOW, TOO_LATE, Rules
from feature_store.redis.request_reads import Fetched, Request
from feature_store.redis.rows import event_rows
from redis_server import free_port, running
from slow_reference import Event
from strategies import ITEMS, LAST_TIME, N_ITEMS, N_USERS, USERS, event_frame, event_log, logs, times
from tolerances import close

WINDOWS = (1, 3, 9)
RULES = Rules(SignalConfig(), WINDOWS, limit=2)
LONG = Rules(SignalConfig(), WINDOWS, limit=50)
FROM = -20
"""PastQueries from here on are asked about."""
NAMES = count()
TIES = [Event(0, item, 5) for item in range(5)] + [Event(0, 0, 6), Event(0, 1, 5, "skip")]


@pytest.fixture(scope="module")
def url(redis_url: str) -> str:
    return redis_url


@pytest.fixture
def memories(url: str) -> Iterator[RedisMemories]:
    held = RedisMemories(f"{url}#test *[{next(NAMES)}]", timeout=5)
    yield held
    held.clear()


def rows(log: list[Event]) -> pl.DataFrame:
    return event_rows(event_frame(log), ITEMS, SignalConfig())


def write(memories: RedisMemories, log: list[Event], rules: Rules, tables: list[Event]) -> list[str]:
    new, users = rows(log), {USERS[event.user] for event in tables}
    return memories.write(new, rules, new["user"].is_in(list(users)).to_numpy(), rows(tables))


def fetched(memories: RedisMemories, rules: Rules, base: EventLog, time: int, users: pl.Series = USERS) -> Fetched:
    user_rows = np.array([USERS.to_list().index(user) if user in USERS else -1 for user in users], np.int64)
    items = np.arange(-1, N_ITEMS + 2)
    request = Request(users, user_rows, np.full(len(users), time), items, np.full(len(items), time))
    loaded = Loaded(base, event_frame([]), ITEMS, lambda ids: rows_of(ids, ITEMS).to_numpy(), SignalConfig())
    return Fetched.of(memories, rules, loaded, USERS, request)


def same_as_log(reads: Fetched, whole: EventLog, time: int, limit: int) -> None:
    users, items = np.arange(-1, N_USERS), np.arange(N_ITEMS + 2)
    at, items_at = np.full(len(users), time), np.full(len(items), time)
    for asked in (limit, 1):
        found, expected = reads.past(users, at, asked), whole.past(users, at, asked)
        assert found.items == expected.items
        for name in ("times", "known", "signs"):
            close(getattr(found, name), getattr(expected, name), "exact")
    for found, expected in zip(reads.user_counts(users, at), whole.user_counts(users, at), strict=True):
        close(found, expected, "exact")
    counts = zip(reads.item_counts(items, items_at, WINDOWS), whole.item_counts(items, items_at, WINDOWS), strict=True)
    for found, expected in counts:
        close(found, expected, "exact")
    there = items[:-2][whole.item_counts(items[:-2], items_at[:-2], ())[0] > 0]
    firsts = (log.item_firsts(there, items_at[: len(there)]) for log in (reads, whole))
    for found, expected in zip(*firsts, strict=True):
        close(found, expected, "exact")


@settings(max_examples=50)
@given(log=logs(), ways=st.lists(st.sampled_from("tw2"), min_size=14, max_size=14), time=times(), again=st.booleans())
@example(TIES, list("twtwtw2" * 2), 9, True)
@example(TIES, list("ttttttt" * 2), 6, False)
def test_every_read_is_that_of_the_log(url: str, log: list[Event], ways: list[str], time: int, again: bool) -> None:
    """Events come through the tables (t), are written (w), or both (2), and what is written twice counts once."""
    memories = RedisMemories(f"{url}#reads{next(NAMES)}", timeout=5)
    parts = list(zip(log, ways, strict=False))
    tables = [event for event, way in parts if way != "w"]
    written = [event for event, way in parts if way != "t"]
    memories.publish(event_frame(tables), ITEMS, LONG, answers_from=FROM)
    became = write(memories, written, LONG, tables)
    assert became.count(NEW) == sum(way == "w" for _, way in parts)
    assert set(write(memories, written, LONG, tables)) <= {DUPLICATE}
    if again:
        memories.publish(event_frame(log), ITEMS, LONG, answers_from=FROM)
    reads = fetched(memories, LONG, event_log(tables), time)
    same_as_log(reads, event_log(log), time, LONG.limit)
    assert reads.clock == fetched(memories, LONG, event_log(tables), NOW).clock == event_log(log).clock
    seen = reads.seen(np.arange(N_USERS), np.full(N_USERS, time))
    expected = event_log(log).past(np.arange(N_USERS), np.full(N_USERS, time)).items
    assert [set(row) for row in seen.to_lists()] == [set(row) for row in expected.to_lists()]
    memories.clear()


@settings(max_examples=50)
@given(log=logs(late=False), n=st.integers(0, 14), ahead=st.integers(0, 4))
@example(TIES, 5, 0)
@example(TIES, 0, 0)
def test_bounded_memories_answer_rightly_or_say_that_they_cannot(
    url: str, log: list[Event], n: int, ahead: int
) -> None:
    """Events as they happen, of which four a user are held; asked about from the newest one on."""
    memories = RedisMemories(f"{url}#bounded{next(NAMES)}", timeout=5)
    log = sorted(log, key=lambda event: event.time)
    memories.publish(event_frame(log[:n]), ITEMS, RULES)
    for event in log[n:]:
        write(memories, [event], RULES, log[:n])
    time = event_log(log).clock + ahead
    same_as_log(fetched(memories, RULES, event_log(log[:n]), time), event_log(log), time, RULES.limit)
    memories.publish(event_frame(log), ITEMS, RULES)
    same_as_log(fetched(memories, RULES, event_log(log), time), event_log(log), time, RULES.limit)
    memories.clear()


def test_what_is_held_of_a_user_and_of_an_item_is_bounded(memories: RedisMemories, url: str) -> None:
    import redis

    old = [Event(0, n % N_ITEMS, n) for n in range(60)]
    memories.publish(event_frame(old), ITEMS, RULES)
    assert set(write(memories, [Event(0, 0, time) for time in range(60, 90)], RULES, old)) == {NEW}
    client, prefix = redis.Redis.from_url(url), memories._server.prefix
    assert client.zcard(f"{prefix}:u:user0") == 4
    assert client.hget(f"{prefix}:dropped", "user0") == b"86"
    memories.publish(event_frame([*old, *(Event(0, 0, time) for time in range(60, 90))]), ITEMS, RULES)
    assert 0 < client.zcard(f"{prefix}:i:i0") <= 18  # two of the longest windows
    with pytest.raises(DataError, match=r"after which user 'user0' did more than is held"):
        fetched(memories, RULES, event_log([]), 86)
    with pytest.raises(DataError, match=r"expected a moment that .* one before 1970"):
        fetched(memories, RULES, event_log([]), 20)
    assert write(memories, [Event(1, 1, 5)], RULES, []) == [TOO_LATE]


def test_a_user_whom_the_server_has_dropped_is_read_from_the_tables_and_filled_again(
    memories: RedisMemories, url: str
) -> None:
    import redis

    tables = [Event(0, 1, 3), Event(0, 2, 4), Event(1, 1, 5)]
    memories.publish(event_frame(tables), ITEMS, LONG, answers_from=FROM)
    client, prefix = redis.Redis.from_url(url), memories._server.prefix
    assert 0 < client.ttl(f"{prefix}:u:user0") <= 90 * 86_400
    client.delete(f"{prefix}:u:user0")
    same_as_log(fetched(memories, LONG, event_log(tables), 9), event_log(tables), 9, LONG.limit)
    new = [Event(0, 3, 7)]
    assert memories._written(rows(new), LONG, np.array([True]), rows(tables)["identity"]) == [NOT_HELD]
    assert write(memories, new, LONG, tables) == [NEW]
    same_as_log(fetched(memories, LONG, event_log([]), 9), event_log(tables + new), 9, LONG.limit)


def test_shared_memories_do_not_hold_when_an_item_had_its_last_event(memories: RedisMemories) -> None:
    memories.publish(event_frame([Event(0, 1, 3)]), ITEMS, LONG, answers_from=FROM)
    reads = fetched(memories, LONG, event_log([Event(0, 1, 3)]), 9)
    with pytest.raises(DataError, match="online: expected .* last event .* Load the model without `online`"):
        reads.item_lasts(np.array([1]), np.array([9]))


def test_a_user_of_no_table_is_read_by_who_did_not_write_it(memories: RedisMemories) -> None:
    memories.publish(event_frame([Event(0, 1, 3)]), ITEMS, LONG)
    frame = event_frame([Event(1, 2, 4), Event(1, 3, 4)]).with_columns(user_id=pl.lit("new"))
    memories.write(event_rows(frame, ITEMS, SignalConfig()), LONG, np.array([False, False]), rows([]))
    reads = fetched(memories, LONG, event_log([]), NOW, pl.Series("user_id", ["nobody", "new", None]))
    assert reads.users.to_list() == [*USERS, "new"]
    assert reads.past(np.array([N_USERS, -1]), np.array([5, 5])).items.to_lists() == [[2, 3], []]
    with pytest.raises(ValueError, match="were fetched"):
        reads.past(np.array([0]), np.array([5]))
    with pytest.raises(ValueError, match="were fetched"):
        reads.past(np.array([N_USERS]), np.array([6]))


@pytest.mark.parametrize("named", [True, False])
def test_one_event_id_counts_once_whatever_else_is_said(memories: RedisMemories, named: bool) -> None:
    frame = event_frame([Event(0, 1, 3), Event(0, 2, 5)]).with_columns(event_id=pl.lit("e1" if named else None))
    memories.publish(frame[:0], ITEMS, LONG, answers_from=FROM)
    one, other = (event_rows(frame[n : n + 1], ITEMS, SignalConfig()) for n in (0, 1))
    assert memories.write(one, LONG, np.array([False]), one[:0]) == [NEW]
    assert memories.write(other, LONG, np.array([False]), one[:0]) == [DUPLICATE if named else NEW]
    memories.publish(frame[:1], ITEMS, LONG, answers_from=FROM)
    counts = fetched(memories, LONG, event_log([]), 9).user_counts(np.array([0]), np.array([9]))[0]
    assert counts.tolist() == [1 if named else 2]


@settings(max_examples=50)
@given(log=logs(late=False), user=st.integers(0, N_USERS - 1), item=st.integers(0, N_ITEMS - 1))
def test_what_is_forgotten_is_as_if_it_had_never_been(url: str, log: list[Event], user: int, item: int) -> None:
    import redis

    memories = RedisMemories(f"{url}#forget{next(NAMES)}", timeout=5)
    memories.publish(event_frame(log), ITEMS, LONG, answers_from=FROM)
    mine = [event for event in log if event.user == user]
    assert (memories.forget_user(USERS[user], rows(mine)) > 0) == bool(mine)
    left = [event for event in log if event.user != user]
    assert (memories.forget_item(ITEMS[item]) > 0) == any(event.item == item for event in log)
    left = [event for event in left if event.item != item]
    memories.publish(event_frame(left), ITEMS, LONG, answers_from=FROM)
    # The clock stays: nothing is known of a moment that has passed.
    same_as_log(fetched(memories, LONG, event_log([]), 30), event_log(left), 30, LONG.limit)
    client = redis.Redis.from_url(url)
    held = b"".join(client.dump(key) or b"" for key in client.scan_iter(f"{memories._server.prefix}:*"))
    names = b" ".join(client.scan_iter(f"{memories._server.prefix}:*"))
    assert USERS[user].encode() not in held + names
    # A process that has older tables does not read them for this user, nor fill him from them when he comes back.
    mine = [event for event in mine if event.item != item]
    reads = fetched(memories, LONG, event_log(mine), 30)
    assert reads.seen(np.array([user]), np.array([30])).to_lists() == [[]]
    same_as_log(reads, event_log(left), 30, LONG.limit)
    back = Event(user, item, 20)
    assert write(memories, [back], LONG, [*mine, back]) == [NEW]
    same_as_log(fetched(memories, LONG, event_log(mine), 30), event_log([*left, back]), 30, LONG.limit)
    assert f":i:{ITEMS[item]}".encode() not in names
    memories.clear()
    assert not list(client.scan_iter(f"{memories._server.prefix}:*"))


def test_readers_and_writers_by_other_rules_are_refused(memories: RedisMemories) -> None:
    with pytest.raises(DataError, match=r"got none, or not yet whole. Run recmem publish"):
        fetched(memories, LONG, event_log([]), 3)
    memories.publish(event_frame([Event(0, 1, 3)]), ITEMS, LONG, answers_from=0)
    assert memories.rules() == Rules(SignalConfig(), (9,), 50)
    others = Rules(SignalConfig(positive_from=5.0), WINDOWS, 50)
    with pytest.raises(DataError, match="written by this model's rules"):
        fetched(memories, others, event_log([]), 3)
    with pytest.raises(DataError, match=r"same signals under 'test .* another name"):
        memories.publish(event_frame([Event(0, 1, 3)]), ITEMS, others)
    with pytest.raises(DataError, match="windows of at most 9 microseconds"):
        fetched(memories, Rules(SignalConfig(), (1, 3, 10), 50), event_log([]), 3)


def test_a_killed_publishing_is_not_read_and_can_be_repeated(
    memories: RedisMemories, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = [Event(0, 1, 3), Event(1, 2, 4)]
    with monkeypatch.context() as patch:
        patch.setattr(RedisMemories, "_fill_items", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            memories.publish(event_frame(log), ITEMS, LONG)
    with pytest.raises(DataError, match="not yet whole"):
        fetched(memories, LONG, event_log([]), 9)
    memories.publish(event_frame(log), ITEMS, LONG)
    same_as_log(fetched(memories, LONG, event_log([]), 9), event_log(log), 9, LONG.limit)


def test_a_server_that_is_slow_or_down_is_told_within_the_timeout(tmp_path: Path) -> None:
    port = free_port()
    memories = RedisMemories(f"redis://:secret@127.0.0.1:{port}/0", timeout=0.3)
    with pytest.raises(UnavailableError, match=rf"redis://127.0.0.1:{port}/0, got .*refused") as told:
        fetched(memories, LONG, event_log([]), 9)
    assert "secret" not in str(told.value)
    open_memories = RedisMemories(f"redis://127.0.0.1:{port}/0", timeout=0.3)
    with running(tmp_path, port) as server:
        open_memories.publish(event_frame([Event(0, 1, 3)]), ITEMS, LONG)
        fetched(open_memories, LONG, event_log([]), 9)
        server.send_signal(19)  # SIGSTOP: it is there, and says nothing
        begin = clock.monotonic()
        with pytest.raises(UnavailableError, match=r"none within 0\.3 s"):
            fetched(open_memories, LONG, event_log([]), 9)
        assert clock.monotonic() - begin < 3  # three tries at the most, and then some
        server.send_signal(18)
        fetched(open_memories, LONG, event_log([]), 9)  # and it is back
    with running(tmp_path, port), pytest.raises(DataError, match="none, or not yet whole"):
        fetched(open_memories, LONG, event_log([]), 9)  # restarted, empty


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"timeout": 0}, "timeout"), ({"keep_days": -1}, "keep_days"), ({"on_failure": "cold"}, "error or tables")],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict, said: str) -> None:
    with pytest.raises(DataError, match=said):
        RedisMemories("redis://localhost", **wrong)
    with pytest.raises(DataError, match="expected redis://host:port/db, got 'http://x'"):
        RedisMemories("http://x")


def test_many_items_and_users_take_several_round_trips_and_one_clock(
    memories: RedisMemories, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = [Event(user, item, user + item) for user in range(N_USERS) for item in range(N_ITEMS)]
    memories.publish(event_frame(log), ITEMS, LONG)
    monkeypatch.setattr("feature_store.redis.request_reads.PAIRS_AT_ONCE", 2)
    same_as_log(fetched(memories, LONG, event_log([]), LAST_TIME), event_log(log), LAST_TIME, LONG.limit)
    reads = fetched(memories, LONG, event_log([]), NOW)
    same_as_log(reads, event_log(log), reads.clock, LONG.limit)
