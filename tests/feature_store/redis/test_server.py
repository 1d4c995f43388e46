from __future__ import annotations

import sys
import time as clock
from pathlib import Path

import pytest

from feature_store import DataError
from feature_store.redis import RedisMemories, UnavailableError
from feature_store.redis.server import Server
from online_memories import (
    LONG,
    fetch,
    loaded_log,
)
from redis_server import free_port, running
from slow_reference import Event
from strategies import ITEMS, event_frame, event_log


def test_a_slow_or_stopped_server_is_reported_within_the_timeout(tmp_path: Path) -> None:
    port = free_port()
    memories = RedisMemories(f"redis://:secret@127.0.0.1:{port}/0", timeout=0.3)
    with pytest.raises(UnavailableError, match=rf"redis://127.0.0.1:{port}/0, got .*refused") as raised:
        fetch(memories, loaded_log(event_log([])), 9)
    assert "secret" not in str(raised.value)
    open_memories = RedisMemories(f"redis://127.0.0.1:{port}/0", timeout=0.3)
    with running(tmp_path, port) as server:
        open_memories.publish(event_frame([Event(0, 1, 3)]), ITEMS, LONG)
        fetch(open_memories, loaded_log(event_log([])), 9)
        server.send_signal(19)  # SIGSTOP: it runs, but does not answer
        begin = clock.monotonic()
        with pytest.raises(UnavailableError, match=r"none within 0\.3 s"):
            fetch(open_memories, loaded_log(event_log([])), 9)
        assert clock.monotonic() - begin < 3  # three tries at the most, and then some
        server.send_signal(18)
        fetch(open_memories, loaded_log(event_log([])), 9)  # and it is back
    with running(tmp_path, port), pytest.raises(DataError, match="none, or an unfinished publish"):
        fetch(open_memories, loaded_log(event_log([])), 9)  # restarted, empty


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:secret@host:6379/0", "http://host:6379/0"),
        ("redis://:sec/ret@host:6379/0", "redis://host:6379/0"),
        ("redis://:s@cret@host:port/0?password=secret", "redis://host:port/0"),
        ("user:secret@host:6379", "host:6379"),
        ("localhost:6379", "localhost:6379"),
    ],
)
def test_a_url_that_cannot_be_used_is_shown_without_its_password(url: str, shown: str) -> None:
    with pytest.raises(DataError, match=r"^online: expected redis://host:port/db, got") as raised:
        RedisMemories(url)
    assert f"got {shown!r}." in str(raised.value)


def test_the_missing_client_is_reported_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(DataError, match=r"^online: expected the Python package redis, got none\. Run pip install"):
        RedisMemories("redis://host:6379/0")


def test_the_scripts_answer_sums_and_progress_is_reported(redis_url: str) -> None:
    server = Server(redis_url, "summed", timeout=5)
    n_done: list[int] = []
    calls = [["", "item"]] * 501  # one more than a batch
    for number in range(501):
        server.client.zadd(server.key("i:item"), {f"{number}": number})
    assert server.call_each("forget_item", calls, n_done.append) == 1
    assert n_done == [500, 1]


def test_an_error_of_the_server_itself_is_reported(redis_url: str) -> None:
    server = Server(redis_url, "wrong", timeout=5)
    server.client.set(server.key("meta"), "no hash")
    expected = (
        r"^online: expected redis://127\.0\.0\.1:\d+/0 to .*, got keys of another program .*WRONGTYPE .* another name"
    )
    with pytest.raises(DataError, match=expected):
        server.call("write_events", ["settings", ""])
    server.delete_all(forgotten=True)


@pytest.mark.parametrize("other_name", ["axb", "a*[b]?:eu", "a*[b]?:u", "a*[b]?:meta", "a*[b]?%", "{a*[b]?}"])
def test_only_keys_of_the_name_are_listed_and_deleted(redis_url: str, other_name: str) -> None:
    server = Server(redis_url, "a*[b]?", timeout=5)
    other = Server(redis_url, other_name, timeout=5)
    for each in (server, other):
        each.client.hset(each.key("meta"), "clock", 3)
        each.client.zadd(each.key("ids"), {b"identity": 1})
        each.client.zadd(each.key("u:user"), {b"member": 1})
        each.client.zadd(each.key("i:item:eu"), {b"member": 1})
    assert sorted(server.keys("ui")) == [b"a*[b]?:i:item:eu", b"a*[b]?:u:user"]
    assert server.delete_all(forgotten=True) == 4
    assert list(server.keys("uixw")) == []
    assert server.meta("clock", "horizon") == [None, None]
    assert other.meta("clock", "horizon") == ["3", None]
    assert other.delete_all(forgotten=True) == 4
