"""Publishing: brings a server's memories and counters to what the tables contain, while others read and write.

A publish first restricts what is answered to times that both the old and the new state can answer. Then it merges user
after user and item after item. Killed at any point, it is repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store.point_in_time.log_clock import log_clock, surely_happened
from feature_store.point_in_time.read_protocol import END_OF_TIME
from feature_store.redis.event_rows import cancelled_events, valid_events, waiting_cancellations
from feature_store.redis.memory_settings import MemorySettings
from feature_store.redis.packing import counted_members, memory_members
from feature_store.redis.publish_session import Progress, PublishSession
from feature_store.redis.server import Argument, Server

_IDS_PER_CALL = 1000
_NEVER_COUNTED = "-inf"
"""In place of a time: the cancellation became known before its event."""


@dataclass(frozen=True)
class PublishReceipt:
    """What was published."""

    n_users: int
    n_items: int
    n_events: int
    horizon: int
    """The earliest time that can be read, microseconds."""
    warnings: tuple[str, ...] = ()
    """Sentences about the server: settings with which it may lose data, and data that it had lost."""


def publish(
    server: Server,
    rows: pl.DataFrame,
    settings: MemorySettings,
    *,
    store: str,
    keep_s: int,
    expire_s: int | None,
    answers_from: int | None,
    on_progress: Progress | None,
) -> PublishReceipt:
    """Publishes all rows of the tables (`event_rows`); see `RedisMemories.publish`."""
    state = server.state()
    clock = _clock(rows)
    rows = _without_cancellations_after(max(clock, surely_happened()), rows)
    horizon = clock - settings.window if answers_from is None else answers_from
    session = PublishSession.begin(server, settings, horizon, store=store, expire_s=expire_s)
    n_users = merge_users(session, rows, settings, keep_s=keep_s, on_progress=on_progress)
    n_items = merge_items(session, rows, horizon, settings.window, on_progress=on_progress)
    session.check_all()
    session.run("finish_publish", [settings.to_json(), settings.window, horizon, clock, state.run])
    warnings = state.warnings() + session.warnings
    return PublishReceipt(n_users, n_items, len(valid_events(rows)), horizon, warnings)


def merge_users(
    session: PublishSession,
    rows: pl.DataFrame,
    settings: MemorySettings,
    *,
    keep_s: int,
    on_progress: Progress | None = None,
) -> int:
    """Merges the memories of all users of the rows; how many users have an event that is not cancelled."""
    by_user = valid_events(rows).sort("user", maintain_order=True)
    calls = (["", *call] for call in _user_calls(rows, by_user, settings, keep_s, merges=True))
    session.run_each("merge_user", calls, on_progress)
    return by_user["user"].n_unique()


def merge_dropped_users(
    server: Server, rows: pl.DataFrame, settings: MemorySettings, *, store: str, keep_s: int
) -> None:
    """Merges the users of the rows whom the server has dropped, outside of a publish."""
    by_user = valid_events(rows).sort("user", maintain_order=True)
    begin: list[Argument] = ["", settings.to_json(), store]
    calls = (begin + call for call in _user_calls(rows, by_user, settings, keep_s, merges=False))
    server.call_each("merge_user", calls)


def _user_calls(
    rows: pl.DataFrame, by_user: pl.DataFrame, settings: MemorySettings, keep_s: int, *, merges: bool
) -> Iterator[list[Argument]]:
    """The arguments of `merge_user.lua` for each user, from the fourth on.

    `merges`: whether a user whom the server holds is merged too; otherwise, only those whom it has dropped.
    """
    members = memory_members(by_user)
    known = by_user["known"].to_numpy()
    cancelled = _cancelled_by_user(rows)
    waiting = _waiting_by_user(rows)
    for user, begin, end in _runs(by_user["user"], cancelled.keys() | waiting.keys()):
        first = begin
        if end - begin > settings.max_held:
            # Events that became known at the same time stay together.
            first = begin + int(np.searchsorted(known[begin:end], known[end - settings.max_held]))
        oldest = int(known[first]) if first < end else 0
        mine = cancelled.get(user, [])
        waiting_here = waiting.get(user, [])
        yield [
            user,
            keep_s,
            settings.max_held,
            int(merges),
            first - begin,
            oldest,
            len(mine) // 2,
            len(waiting_here) // 3,
            *mine,
            *waiting_here,
            *_interleaved(known[first:end].tolist(), members[first:end]),
        ]


def merge_items(
    session: PublishSession, rows: pl.DataFrame, horizon: int, window: int, *, on_progress: Progress | None = None
) -> int:
    """Merges the counters of all items of the rows; how many items have an event that is not cancelled."""
    counted_until = horizon - window
    by_item = valid_events(rows).sort("item", maintain_order=True)
    session.run_each("merge_item", _item_calls(rows, by_item, counted_until), on_progress)

    held = {item.decode() for item in session.server.fields("items")}
    unpublished = held - set(rows["item"])
    session.run_each("drop_unpublished_item", ([item, counted_until, horizon] for item in unpublished))

    named = rows.filter(pl.col("has_id") & (pl.col("known") > counted_until))
    identities: list[bytes] = named["identity"].to_list()
    known: list[int] = named["known"].to_list()
    parts = [slice(begin, begin + _IDS_PER_CALL) for begin in range(0, len(named), _IDS_PER_CALL)]
    session.run_each("merge_identities", (list(_interleaved(known[part], identities[part])) for part in parts))
    return by_item["item"].n_unique()


def _item_calls(rows: pl.DataFrame, by_item: pl.DataFrame, counted_until: int) -> Iterator[list[Argument]]:
    """The arguments of `merge_item.lua` for each item, from the third on."""
    members = counted_members(by_item)
    known = by_item["known"].to_numpy()
    times = by_item["time"].to_numpy()
    cancelled = cancelled_events(rows)
    recent = cancelled.filter(pl.col("known") > counted_until)
    recent_by_item = _grouped(recent["item"], recent["known"].to_list(), recent["identity"].to_list())
    earliest = _earliest_times(cancelled)
    for item, begin, end in _runs(by_item["item"], earliest.keys()):
        # Older events are only counted: no window reaches them at any time that can be read.
        first = begin + int(np.searchsorted(known[begin:end], counted_until, side="right"))
        first_known = int(known[begin]) if begin < end else 0
        first_time = int(times[begin]) if begin < end else 0
        mine = recent_by_item.get(item, [])
        yield [
            item,
            counted_until,
            first - begin,
            first_known,
            first_time,
            earliest.get(item, 0),
            len(mine) // 2,
            *mine,
            *_interleaved(known[first:end].tolist(), members[first:end]),
        ]


def _clock(rows: pl.DataFrame) -> int:
    """The clock of a log of these rows, see `log_clock`; 0 if no event ever counted."""
    counted = rows.filter(pl.col("target").is_null(), pl.col("cancelled_at") > pl.col("known"))
    cancelled_at = counted["cancelled_at"].filter(counted["cancelled_at"] < END_OF_TIME)
    changes = pl.concat([counted["known"], cancelled_at]).to_numpy()
    return log_clock(int(changes.max(initial=0)), changes)


def _without_cancellations_after(latest: int, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows as if later cancellations were unknown: once published, reads before them would be refused."""
    is_cancelled_later = (pl.col("cancelled_at") > latest) & (pl.col("cancelled_at") < END_OF_TIME)
    return rows.filter(pl.col("target").is_null() | (pl.col("known") <= latest)).with_columns(
        cancelled_at=pl.when(is_cancelled_later).then(END_OF_TIME).otherwise("cancelled_at")
    )


def _cancelled_by_user(rows: pl.DataFrame) -> dict[str, list[Argument]]:
    """For each user, (cancelled_at or -inf, member) of each cancelled event, in one list."""
    cancelled = cancelled_events(rows)
    when: list[Argument] = [
        cancelled_at if cancelled_at > known else _NEVER_COUNTED
        for cancelled_at, known in cancelled.select("cancelled_at", "known").iter_rows()
    ]
    return _grouped(cancelled["user"], when, memory_members(cancelled))


def _waiting_by_user(rows: pl.DataFrame) -> dict[str, list[Argument]]:
    """For each user, (known, target, item) of each cancellation that waits for its event, in one list."""
    waiting = waiting_cancellations(rows)
    columns = (waiting[name].to_list() for name in ("known", "target", "item"))
    return _grouped(waiting["user"], *columns)


def _earliest_times(cancelled: pl.DataFrame) -> dict[str, int]:
    """The earliest time for which each item with a cancelled event can be answered: its last cancellation."""
    if_counted = pl.when(pl.col("cancelled_at") > pl.col("known")).then("cancelled_at").otherwise(0)
    return dict(cancelled.group_by("item").agg(if_counted.max()).iter_rows())


def _grouped(keys: pl.Series, *columns: Sequence[Argument]) -> dict[str, list[Argument]]:
    """For each key, the cells of its rows in one list, row after row."""
    groups: dict[str, list[Argument]] = {}
    for key, *cells in zip(keys.to_list(), *columns, strict=True):
        groups.setdefault(key, []).extend(cells)
    return groups


def _interleaved(known: Sequence[int], members: Sequence[bytes]) -> Iterator[Argument]:
    for score, member in zip(known, members, strict=True):
        yield score
        yield member


def _runs(keys: pl.Series, others: Set[str]) -> Iterator[tuple[str, int, int]]:
    """Each value of a sorted column with the range of its rows; then the values of `others` that have no row."""
    lengths = keys.rle().struct.unnest()
    end = 0
    for length, key in lengths.select("len", "value").iter_rows():
        yield key, end, end + length
        end += length
    if others:
        for key in sorted(others - set(lengths["value"])):
            yield key, 0, 0
