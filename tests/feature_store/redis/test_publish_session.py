"""A publish during which the server loses data is refused, and so are answers until the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import redis

from feature_store import DataError
from feature_store.redis import LostDataError, RedisMemories, UnavailableError
from feature_store.redis.publish_session import PublishSession
from feature_store.redis.server import Server
from online_memories import FROM, LONG, assert_same_reads, fetch, loaded_log, new_memories, write_log
from redis_server import free_port, running
from slow_reference import Event
from strategies import ITEMS, N_ITEMS, N_USERS, event_frame, event_log

LOG = [Event(user, item, user + item) for user in range(N_USERS) for item in range(N_ITEMS)]
NEW = [Event(0, 0, 20)]
N_STEPS = N_USERS + N_ITEMS + 1


@pytest.fixture
def memories(redis_url: str) -> Iterator[RedisMemories]:
    held = new_memories(redis_url)
    yield held
    held.clear()


def publish(memories: RedisMemories, log: list[Event] = LOG) -> None:
    memories.publish(event_frame(log), ITEMS, LONG, answers_from=FROM)


def same_as_log(memories: RedisMemories, log: list[Event]) -> None:
    reads = fetch(memories, loaded_log(event_log([])), 30)
    users, items = np.arange(-1, N_USERS), np.arange(N_ITEMS + 2)
    assert_same_reads(reads, event_log(log), 30, LONG.limit, users=users, items=items)


class Interrupted:
    """Calls a function before one of the scripts of a publish, each of which is sent alone."""

    def __init__(self, patch: pytest.MonkeyPatch, before: int, act: Callable[[], object]) -> None:
        self.n_sent = 0
        self._before = before
        self._act = act
        patch.setattr("feature_store.redis.server._CALLS_PER_BATCH", 1)
        numbered = PublishSession._numbered

        def counted(session: PublishSession, arguments: object) -> object:
            self.n_sent += 1
            if self.n_sent == self._before:
                self._act()
            return numbered(session, arguments)  # type: ignore[arg-type]

        patch.setattr(PublishSession, "_numbered", counted)


@pytest.mark.parametrize("was_published", [False, True])
@pytest.mark.parametrize("step", range(1, N_STEPS + 1))
def test_a_server_flushed_before_any_step_of_a_publish_refuses_it(
    memories: RedisMemories, monkeypatch: pytest.MonkeyPatch, step: int, was_published: bool
) -> None:
    def lose() -> None:
        client = memories._server.client
        client.delete(*client.scan_iter(f"{memories._server.prefix}:*"))

    if was_published:
        publish(memories, LOG[:4])
    with monkeypatch.context() as patch:
        Interrupted(patch, step, lose)
        with pytest.raises(LostDataError, match=r"the server lost data while publishing. Run `recmem publish` again"):
            publish(memories)
    with pytest.raises(LostDataError, match="unfinished publish"):
        same_as_log(memories, LOG)
    publish(memories)
    same_as_log(memories, LOG)


@pytest.mark.parametrize("was_published", [False, True])
@pytest.mark.parametrize("step", [2, 5, N_STEPS])
def test_a_server_set_back_to_a_snapshot_of_the_publish_refuses_it_and_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, was_published: bool
) -> None:
    port = free_port()
    memories = RedisMemories(f"redis://127.0.0.1:{port}/0", timeout=5)
    servers = [running(tmp_path, port)]
    servers[0].__enter__()
    client = redis.Redis(host="127.0.0.1", port=port)

    def restart() -> None:
        servers[-1].__exit__(None, None, None)
        servers.append(running(tmp_path, port))
        servers[-1].__enter__()

    def act() -> None:
        if sent.n_sent == step - 1:
            client.save()
            sent._before = step
        else:
            restart()

    try:
        if was_published:
            publish(memories, LOG[:4])
        with monkeypatch.context() as patch:
            sent = Interrupted(patch, step - 1, act)
            with pytest.raises(LostDataError, match=r"lost data.*Run `recmem publish` again"):
                publish(memories)
        for reader in (memories, RedisMemories(f"redis://127.0.0.1:{port}/0", timeout=5)):
            with pytest.raises(LostDataError):
                same_as_log(reader, LOG)
        publish(memories)
        same_as_log(memories, LOG)
    finally:
        client.close()
        servers[-1].__exit__(None, None, None)


@pytest.mark.parametrize("key", ["u:user0", "i:i0", "items", "users", "kept"])
@pytest.mark.parametrize("step", [1, 5, N_STEPS - 1])
def test_a_key_evicted_during_a_publish_ends_it_in_words(
    memories: RedisMemories, monkeypatch: pytest.MonkeyPatch, key: str, step: int
) -> None:
    publish(memories)
    n_deleted: list[int] = []
    with monkeypatch.context() as patch:
        Interrupted(patch, step, lambda: n_deleted.append(memories._server.client.delete(memories._server.key(key))))
        with pytest.raises(LostDataError, match=r"lost data. Run `recmem publish` again"):
            publish(memories)
    assert n_deleted == [1]
    with pytest.raises(LostDataError):
        fetch(memories, loaded_log(event_log([])), 30)
    publish(memories)
    same_as_log(memories, LOG)


def test_a_publish_that_another_one_overtakes_is_refused_and_the_other_counts(
    memories: RedisMemories, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Interrupted(patch, 4, lambda: publish(memories, LOG[:6]))
        with pytest.raises(DataError, match=r"no other publish at .* got one that began later"):
            publish(memories)
    fetch(memories, loaded_log(event_log([])), 30)
    publish(memories)
    same_as_log(memories, LOG)


def test_a_step_that_is_sent_twice_counts_once(memories: RedisMemories) -> None:
    publish(memories)
    session = PublishSession.begin(memories._server, LONG, FROM, store="", expire_s=None)
    member = b"x" * 24
    first = [session.token, 1, "i1", -100, 0, 5, 5, 0, 0, 5, member]
    again = [session.token, 1, "i1", -100, 0, 6, 6, 0, 0, 6, b"y" * 24]
    for arguments in (first, again):
        memories._server.call("merge_item", arguments)
    assert memories._server.client.zscore(memories._server.key("i:i1"), member) == 5
    assert memories._server.client.zscore(memories._server.key("i:i1"), b"y" * 24) is None
    with pytest.raises(LostDataError, match="lost data"):
        memories._server.call("merge_item", [session.token, 3, *again[2:]])


def test_scripts_flushed_in_the_middle_of_a_publish_are_loaded_again(
    memories: RedisMemories, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        sent = Interrupted(patch, 0, lambda: None)
        numbered = PublishSession._numbered

        def flushing(session: PublishSession, arguments: object) -> object:
            memories._server.client.script_flush()
            return numbered(session, arguments)  # type: ignore[arg-type]

        patch.setattr(PublishSession, "_numbered", flushing)
        publish(memories)
    assert sent.n_sent == N_STEPS
    same_as_log(memories, LOG)


@pytest.mark.parametrize("was_published", [False, True])
def test_a_connection_lost_for_good_in_a_publish_leaves_what_can_be_answered_rightly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, was_published: bool
) -> None:
    port = free_port()
    memories = RedisMemories(f"redis://127.0.0.1:{port}/0", timeout=0.5)
    with running(tmp_path, port) as process:
        if was_published:
            publish(memories)
        with monkeypatch.context() as patch:
            Interrupted(patch, 6, lambda: process.send_signal(19))  # SIGSTOP: it no longer answers
            with pytest.raises(UnavailableError, match=r"none within 0\.5 s"):
                publish(memories)
        process.send_signal(18)
        if was_published:
            same_as_log(memories, LOG)
            assert write_log(memories, NEW, LOG) == ["n"]
            same_as_log(memories, [*LOG, *NEW])
        else:
            with pytest.raises(LostDataError, match="unfinished publish"):
                same_as_log(memories, LOG)
        publish(memories, [*LOG, *NEW])
        same_as_log(memories, [*LOG, *NEW])


def test_two_connections_broken_in_a_publish_are_opened_again(
    memories: RedisMemories, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = memories._server.client

    def disconnect() -> None:
        client.client_kill_filter(_type="normal", skipme=True)

    with monkeypatch.context() as patch:
        Interrupted(patch, 3, disconnect)
        publish(memories)
    same_as_log(memories, LOG)


def test_a_session_is_of_one_server_and_one_token(redis_url: str) -> None:
    server = Server(redis_url, "sessions", 5)
    one, other = (PublishSession.begin(server, LONG, FROM, store="", expire_s=None) for _ in range(2))
    assert one.token != other.token
    assert (one.warnings, other.warnings) == ((), ())
    with pytest.raises(DataError, match="began later"):
        one.run("merge_identities", [])
    other.run("merge_identities", [])
    server.delete_all(forgotten=True)
