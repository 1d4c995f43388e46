"""Events as bytes in Redis.

A member of a user's sorted set is, in order: the event's identity (16 bytes), when it happened and when it became known
(int64 microseconds), its sign (int8), and the item's id (UTF-8). The sorted set of an item holds the first 24 bytes of
it: the identity, and when the event happened. All numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from feature_store.arrays import IntArray

IDENTITY_BYTES = 16
_NUMBERS = struct.Struct("<qqb")
_COUNTED_BYTES = IDENTITY_BYTES + 8
_ITEM_OFFSET = IDENTITY_BYTES + _NUMBERS.size
_COUNT = struct.Struct("<d")
_LENGTH = struct.Struct("<I")


def memory_members(rows: pl.DataFrame) -> list[bytes]:
    """The members of users' sorted sets, one per row of `event_rows`."""
    columns = (rows[name].to_list() for name in ("identity", "time", "known", "sign", "item"))
    return [
        identity + _NUMBERS.pack(time, known, sign) + item.encode()
        for identity, time, known, sign, item in zip(*columns, strict=True)
    ]


def counted_members(rows: pl.DataFrame) -> list[bytes]:
    """The members of items' sorted sets, one per row of `event_rows`."""
    return [member[:_COUNTED_BYTES] for member in memory_members(rows)]


def memory_event_count(memory: bytes) -> int:
    """How many events a user has in all, of which the memory holds the newest; 0 for an empty blob."""
    return int(_COUNT.unpack_from(memory)[0]) if memory else 0


def is_memory_held(memory: bytes) -> bool:
    """Whether the server holds anything of the user: more than the count alone, which marks a forgotten user."""
    return len(memory) > _COUNT.size


def marks_forgotten_user(memory: bytes) -> bool:
    """Whether the server knows that the user was forgotten, whatever the loaded tables still contain."""
    return len(memory) == _COUNT.size


def unpack_memories(memories: Sequence[bytes]) -> tuple[list[int], list[str], IntArray]:
    """Memories as `read_request.lua` packs them: lengths, ids of items, and numbers int64[event, 3].

    The numbers of an event are when it happened, when it became known, and its sign. The newest event comes first. An
    empty blob has no event.
    """
    lengths: list[int] = []
    items: list[str] = []
    numbers: list[tuple[int, int, int]] = []
    for memory in memories:
        members = list(_members(memory, _COUNT.size))
        lengths.append(len(members))
        items += [member[_ITEM_OFFSET:].decode() for member in members]
        numbers += [_NUMBERS.unpack_from(member, IDENTITY_BYTES) for member in members]
    return lengths, items, np.array(numbers, np.int64).reshape(-1, 3)


def unpack_identities(members: bytes) -> frozenset[bytes]:
    """The identities of members that are packed one after the other."""
    return frozenset(member[:IDENTITY_BYTES] for member in _members(members, 0))


def _members(packed: bytes, begin: int) -> Iterator[bytes]:
    """Splits members that each follow their length in bytes."""
    at = begin
    while at < len(packed):
        (length,) = _LENGTH.unpack_from(packed, at)
        at += _LENGTH.size
        yield packed[at : at + length]
        at += length
