from __future__ import annotations

import pytest

from feature_store import DataError
from feature_store.redis import RedisMemories
from feature_store.redis.key_space import patterns, prefix_of, single_keys, split_url
from online_memories import LONG, fetch, loaded_log
from slow_reference import Event
from strategies import ITEMS, event_frame, event_log

LOG = [Event(0, 1, 3), Event(1, 2, 4)]


@pytest.mark.parametrize(
    ("url", "address", "name"),
    [
        ("redis://host:6379/0", "redis://host:6379/0", "recmem"),
        ("redis://host:6379/0#", "redis://host:6379/0", "recmem"),
        ("redis://:secret@host/0#shop:eu", "redis://:secret@host/0", "shop:eu"),
        ("redis://host#a#b", "redis://host", "a#b"),
        ("redis://host#Bücher *?[]", "redis://host", "Bücher *?[]"),
    ],
)
def test_a_url_is_an_address_and_a_name(url: str, address: str, name: str) -> None:
    assert split_url(url) == (address, name)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", "a\0", "\u202e", "n" * 101])
def test_names_are_printable_and_bounded(name: str) -> None:
    with pytest.raises(DataError, match="at most 100 printable characters after the #") as raised:
        RedisMemories(f"redis://host#{name}")
    assert name not in str(raised.value)
    assert str(raised.value).isprintable()


def test_a_password_with_a_hash_is_no_name() -> None:
    with pytest.raises(DataError, match=r"got an @ after the #.*# is %23") as raised:
        RedisMemories("redis://:pass#word@host:6379/0")
    assert "pass#" not in str(raised.value)
    assert "word@" not in str(raised.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [("shop", "shop:eu"), ("shop", "shop:u"), ("shop:eu", "shop%3Aeu"), ("shop", "shop:meta"), ("a:b", "a")],
)
def test_no_keys_of_one_name_are_among_those_of_another(one: str, other: str) -> None:
    assert not prefix_of(other).startswith(f"{prefix_of(one)}:")
    assert prefix_of(one) != prefix_of(other)
    assert not set(single_keys(prefix_of(one), forgotten=True)) & set(single_keys(prefix_of(other), forgotten=True))
    assert not set(patterns(prefix_of(one))) & set(patterns(prefix_of(other)))


def test_the_digests_of_forgotten_users_are_listed_where_they_are_asked_for() -> None:
    with_them = set(single_keys("shop", forgotten=True))
    assert with_them - set(single_keys("shop", forgotten=False)) == {"shop:forgotten_users"}
    assert next(single_keys("shop", forgotten=True)) == "shop:meta"


@pytest.mark.parametrize("other", ["shop:eu", "shop:u", "shop*", "shop[eu]", "{shop}", "shop\\", "sho?"])
def test_clearing_one_name_leaves_every_other_name(redis_url: str, other: str) -> None:
    cleared = RedisMemories(f"{redis_url}#shop", timeout=5)
    kept = RedisMemories(f"{redis_url}#{other}", timeout=5)
    for memories in (cleared, kept):
        memories.publish(event_frame(LOG), ITEMS, LONG)
    try:
        for one, rest in ((cleared, kept), (kept, cleared)):
            one.clear()
            assert list(one._server.keys("uixw")) == []
            assert fetch(rest, loaded_log(event_log([])), 9).clock == event_log(LOG).clock
            one.publish(event_frame(LOG), ITEMS, LONG)
    finally:
        cleared.clear()
        kept.clear()
