from __future__ import annotations

from pathlib import Path

import pytest

from feature_store.redis import RedisMemories
from feature_store.redis.server import Server
from feature_store.redis.server_state import ServerState
from online_memories import LONG, rows_of_log
from redis_server import free_port, running
from slow_reference import Event
from strategies import ITEMS, event_frame

LOG = [Event(0, 1, 3), Event(1, 2, 4)]


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_a_server_that_may_evict_gives_a_warning_when_publishing_and_when_connecting(
    tmp_path: Path, policy: str
) -> None:
    port = free_port()
    with running(tmp_path, port, ["--maxmemory", "64mb", "--maxmemory-policy", policy]):
        memories = RedisMemories(f"redis://127.0.0.1:{port}/0", timeout=5)
        warnings = memories.publish(event_frame(LOG), ITEMS, LONG).warnings
        assert warnings == memories.warnings()
        assert len(warnings) == 1
        assert f"maxmemory 64 MiB, maxmemory-policy {policy}" in warnings[0]
        assert "Set maxmemory-policy noeviction" in warnings[0]


@pytest.mark.parametrize(
    ("policy", "max_memory"), [("noeviction", 1), ("volatile-lru", 1), ("volatile-ttl", 1), ("allkeys-lru", 0), ("", 1)]
)
def test_other_settings_evict_none_of_our_keys(policy: str, max_memory: int) -> None:
    assert ServerState(policy, max_memory).warnings() == ()


def test_only_the_keys_of_an_audit_expire_and_those_all_do(redis_url: str) -> None:
    for expire_s in (None, 500):
        memories = RedisMemories(f"{redis_url}#expiry{expire_s}", timeout=5, expire_s=expire_s)
        memories.publish(event_frame(LOG), ITEMS, LONG)
        client, prefix = memories._server.client, memories._server.prefix
        memories.forget_user("user1", rows_of_log(LOG[1:]))
        left = {client.ttl(key) for key in client.scan_iter(f"{prefix}:*")}
        if expire_s is None:
            assert left == {-1}
        else:
            assert min(left) > 490
            assert max(left) <= 500
        memories.clear()


def test_a_restart_since_the_publish_gives_a_warning_and_a_server_that_hides_its_run_gives_none() -> None:
    state = ServerState(run="a")
    assert state.warnings_since("a") == state.warnings_since(None) == state.warnings_since("") == ()
    assert ServerState().warnings_since("a") == ()
    (warning,) = state.warnings_since("b")
    assert "restarted or replaced" in warning


def test_a_server_that_forbids_info_is_used_without_what_it_would_tell(tmp_path: Path) -> None:
    port = free_port()
    with running(tmp_path, port, ["--rename-command", "INFO", ""]):
        assert Server(f"redis://127.0.0.1:{port}/0", "shop", 5).state() == ServerState()
        memories = RedisMemories(f"redis://127.0.0.1:{port}/0", timeout=5)
        assert memories.publish(event_frame(LOG), ITEMS, LONG).warnings == ()
        assert memories.warnings() == ()
