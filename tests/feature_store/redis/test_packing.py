from __future__ import annotations

import struct

import polars as pl

from feature_store.redis.packing import (
    counted_members,
    is_memory_held,
    marks_forgotten_user,
    memory_event_count,
    memory_members,
    unpack_identities,
    unpack_memories,
)

FIRST = b"first-identity-1"
SECOND = b"second-identity2"
ROWS = pl.DataFrame(
    {"identity": [FIRST, SECOND], "time": [3, -4], "known": [5, 6], "sign": [1, -1], "item": ["i1", "größe"]}
)


def packed(members: list[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(member)) + member for member in members)


def test_a_member_is_identity_times_sign_and_item() -> None:
    first, _ = memory_members(ROWS)
    assert first == FIRST + struct.pack("<qqb", 3, 5, 1) + b"i1"


def test_a_counted_member_is_the_identity_and_the_time_of_the_event() -> None:
    assert counted_members(ROWS) == [FIRST + struct.pack("<q", 3), SECOND + struct.pack("<q", -4)]


def test_memories_come_back_as_they_were_packed() -> None:
    memory = struct.pack("<d", 7) + packed(memory_members(ROWS))
    lengths, items, numbers = unpack_memories([b"", memory, struct.pack("<d", 0)])
    assert lengths == [0, 2, 0]
    assert items == ["i1", "größe"]
    assert numbers.tolist() == [[3, 5, 1], [-4, 6, -1]]


def test_no_memory_has_no_numbers_of_three_columns() -> None:
    assert unpack_memories([])[2].shape == (0, 3)


def test_the_count_distinguishes_a_forgotten_user_from_one_who_is_not_held() -> None:
    not_held = b""
    forgotten = struct.pack("<d", 0)
    held = struct.pack("<d", 7) + packed(memory_members(ROWS))
    assert [memory_event_count(memory) for memory in (not_held, forgotten, held)] == [0, 0, 7]
    assert [marks_forgotten_user(memory) for memory in (not_held, forgotten, held)] == [False, True, False]
    assert [is_memory_held(memory) for memory in (not_held, forgotten, held)] == [False, False, True]


def test_identities_are_the_beginnings_of_packed_members() -> None:
    assert unpack_identities(packed(memory_members(ROWS))) == {FIRST, SECOND}
    assert unpack_identities(b"") == frozenset()
