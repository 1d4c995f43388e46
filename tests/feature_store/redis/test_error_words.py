from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import redis

from feature_store import DataError
from feature_store.redis import LostDataError, RedisMemories, UnavailableError
from feature_store.redis.error_words import in_words
from online_memories import LONG, fetch, loaded_log, rows_of_log, write_log
from redis_server import free_port, running
from slow_reference import Event
from strategies import ITEMS, event_frame, event_log

LOG = [Event(0, 1, 3), Event(1, 2, 4)]
NEW = [Event(1, 3, 6)]


def publish(memories: RedisMemories) -> None:
    memories.publish(event_frame(LOG), ITEMS, LONG)


def read(memories: RedisMemories) -> None:
    fetch(memories, loaded_log(event_log(LOG)), 9)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[redis.Redis]:
    """A server of the test's own."""
    port = free_port()
    with running(tmp_path, port):
        client = redis.Redis(port=port, host="127.0.0.1")
        yield client
        client.close()


def url_of(client: redis.Redis, user: str = "", database: int = 0) -> str:
    return f"redis://{user}127.0.0.1:{client.connection_pool.connection_kwargs['port']}/{database}"


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("RECMEM empty", LostDataError, "none, or an unfinished publish. Run `recmem publish`"),
        ("ERR RECMEM lost", LostDataError, "the server lost data. Run `recmem publish` again"),
        ("RECMEM evicted user u 1", LostDataError, "user 'u 1' without what was written: the server evicted"),
        ("RECMEM gone_publish", LostDataError, "the server lost data while publishing. Run `recmem publish` again"),
        ("RECMEM other_publish", DataError, "one that began later, or an older state of the server. Wait for its end"),
        ("RECMEM store", DataError, "memories of another store. Check the name"),
        ("RECMEM format", LostDataError, "those of another version. Run `recmem publish` again"),
        ('RECMEM settings {"format": 2}', LostDataError, "those of another version. Run `recmem publish` again"),
        ("RECMEM settings no json", LostDataError, "those of another version"),
        ("LOADING Redis is loading", DataError, "still reading its data"),
        ("MISCONF Redis is configured to save", DataError, "cannot write to its disk"),
        ("MOVED 3999 127.0.0.1:6381", DataError, "no cluster"),
        ("no such thing", DataError, "got the error 'no such thing'. Check the server"),
        ("WRONGTYPE of RECMEM empty", DataError, "keys of another program"),
    ],
)
def test_an_error_says_what_was_found_and_what_to_do(text: str, kind: type[DataError], words: str) -> None:
    error = in_words(text, "redis://host/0", "shop")
    assert type(error) is kind
    assert words in str(error)
    assert str(error).startswith("online: expected ")


def test_control_characters_of_an_id_are_shown_as_such() -> None:
    assert str(in_words("RECMEM evicted user \x1b[31mred", "redis://host/0", "shop")).isprintable()


def test_without_memory_left_a_publish_and_a_write_are_refused_and_what_is_there_is_answered(own: redis.Redis) -> None:
    memories = RedisMemories(url_of(own), timeout=5)
    publish(memories)
    own.config_set("maxmemory", 1)
    with pytest.raises(DataError, match=r"got no memory left .*Raise the server's maxmemory"):
        publish(memories)
    with pytest.raises(DataError, match="no memory left"):
        write_log(memories, NEW, LOG)
    read(memories)
    own.config_set("maxmemory", 0)
    publish(memories)
    assert write_log(memories, NEW, LOG) == ["n"]


def test_a_replica_answers_and_takes_no_writes(own: redis.Redis, tmp_path: Path) -> None:
    publish(RedisMemories(url_of(own), timeout=5))
    port = free_port()
    (tmp_path / "replica").mkdir()
    primary = str(own.connection_pool.connection_kwargs["port"])
    with running(tmp_path / "replica", port, ["--replicaof", "127.0.0.1", primary]):
        replica = redis.Redis(host="127.0.0.1", port=port)
        deadline = time.monotonic() + 20
        while not replica.dbsize() and time.monotonic() < deadline:
            time.sleep(0.05)
        memories = RedisMemories(f"redis://127.0.0.1:{port}/0", timeout=5)
        read(memories)
        with pytest.raises(DataError, match=r"got a replica.*address of the primary"):
            publish(memories)
        with pytest.raises(DataError, match="got a replica"):
            write_log(memories, NEW, LOG)
        replica.close()


def test_flushed_scripts_are_loaded_again(own: redis.Redis) -> None:
    memories = RedisMemories(url_of(own), timeout=5)
    publish(memories)
    for action in (lambda: publish(memories), lambda: read(memories), lambda: write_log(memories, NEW, LOG)):
        own.script_flush()
        action()


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (["+@all", "-zadd"], "no permission"),
        (["+@all", "-evalsha"], "no permission"),
        (["+@all", "-hset"], "no permission"),
    ],
)
def test_a_user_without_a_needed_command_gets_an_error_and_nothing_is_read_as_whole(
    own: redis.Redis, rules: list[str], words: str
) -> None:
    own.execute_command("ACL", "SETUSER", "limited", "on", ">hunter2secret", "~*", *rules)
    memories = RedisMemories(url_of(own, "limited:hunter2secret@"), timeout=5)
    with pytest.raises(DataError, match=words) as raised:
        publish(memories)
    assert "hunter2secret" not in str(raised.value)
    with pytest.raises(LostDataError):
        read(RedisMemories(url_of(own), timeout=5))
    publish(RedisMemories(url_of(own), timeout=5))
    with suppress(DataError):
        write_log(memories, NEW, LOG)
    # What a script began and could not end shows; or it had not begun.
    whole = RedisMemories(url_of(own), timeout=5)
    try:
        counts = fetch(whole, loaded_log(event_log([])), 9).item_counts(np.array([3]), np.array([9]), LONG.windows)
    except LostDataError:
        return
    assert counts[0].tolist() == [0]


def test_the_error_for_a_wrong_password_or_database_does_not_show_the_password(own: redis.Redis) -> None:
    own.config_set("requirepass", "hunter2right")
    own.execute_command("AUTH", "hunter2right")
    wrong = RedisMemories(url_of(own, ":hunter2wrong@"), timeout=5)
    none = RedisMemories(url_of(own), timeout=5)
    other = RedisMemories(url_of(own, ":hunter2right@", database=99), timeout=5)
    for memories in (wrong, none, other):
        with pytest.raises(DataError) as raised:
            read(memories)
        chain: BaseException | None = raised.value
        while chain is not None:
            assert "hunter2" not in f"{chain} {chain!r}"
            chain = chain.__cause__ or chain.__context__
        assert "hunter2" not in repr(memories) + repr(memories._server)
    with pytest.raises(UnavailableError, match="Check that the server runs, and the URL's host, port and password"):
        read(wrong)
    with pytest.raises(DataError, match="DB index is out of range"):
        read(other)


@pytest.mark.parametrize("key", ["meta", "items", "users", "ids", "u:user0", "i:i1"])
def test_another_data_type_under_one_of_the_keys_is_refused(own: redis.Redis, key: str) -> None:
    memories = RedisMemories(url_of(own), timeout=5)
    publish(memories)
    own.set(memories._server.key(key), "another program's")
    with pytest.raises(DataError, match="keys of another program under this name"):
        read(memories)
    with pytest.raises(DataError, match="keys of another program under this name"):
        publish(memories)


def test_what_another_version_published_is_refused_and_replaced_by_the_next_publish(own: redis.Redis) -> None:
    memories = RedisMemories(url_of(own), timeout=5)
    older = json.loads(LONG.to_json()) | {"format": 2}
    meta = {"whole": 1, "settings": json.dumps(older, sort_keys=True), "window": 9, "horizon": 0, "clock": 5}
    own.hset("recmem:meta", mapping=meta)
    own.zadd("recmem:u:user0", {b"x" * 35: 3})
    own.sadd("recmem:forgotten", "digest")
    own.hset("recmem:eu:meta", mapping=meta)  # of another name, as version 2 wrote it
    with pytest.raises(DataError, match=r"those of another version. Run `recmem publish` again"):
        read(memories)
    with pytest.raises(DataError, match="another version"):
        memories.forget_user("user0", rows_of_log([]))
    (warning,) = memories.publish(event_frame(LOG), ITEMS, LONG).warnings
    assert "another version of recmem" in warning
    read(memories)
    assert not own.exists("recmem:forgotten")
    assert own.exists("recmem:eu:meta")
