"""Memories and counters of all users and items on one Redis server, shared by several processes.

They are published from the tables; then events are written and requests are read. The server holds each user's newest
events and each item's recent ones; of older events it keeps only their number. So reads equal those of the tables, bit
for bit, for every time from the horizon on, and what is held does not grow with the past. A cancelled event is removed,
so that for its user and its item, times before the cancellation can no longer be read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
import polars as pl

from feature_store.arrays import BoolArray, Float64Array, IntArray
from feature_store.data_errors import DataError
from feature_store.point_in_time.read_protocol import END_OF_TIME
from feature_store.redis.error_words import went_back
from feature_store.redis.event_rows import event_rows
from feature_store.redis.key_space import split_url
from feature_store.redis.memory_settings import MemorySettings
from feature_store.redis.packing import counted_members, memory_members
from feature_store.redis.publishing import PublishReceipt, merge_dropped_users, publish
from feature_store.redis.server import Argument, Server
from feature_store.redis.stamps import SeenStates, Stamp

NOW = np.iinfo(np.int64).min
"""Stands for the clock of the shared memories: the first time at which all that they hold is known."""
_SECONDS_PER_DAY = 86_400
_ROWS_PER_CALL = 1000
_USERS_PER_CALL = 1000
_USER_KEYS = "uxw"
"""The families of keys of a user's events, cancelled events and waiting cancellations."""


class WriteOutcome(StrEnum):
    """What became of an event or a cancellation that was written."""

    NEW = "n"
    DUPLICATE = "d"
    TOO_LATE = "l"
    """An event from before all windows: there the server keeps only the number of events."""
    TOO_OLD = "o"
    """A cancellation whose event is, or may be, too old to be held."""
    AHEAD = "a"
    """A cancellation at a time too far ahead: a read as of now could not tell whether its event counts."""
    NOT_HELD = "m"
    """The server has dropped the user, who has to be merged from the tables first."""


@dataclass(frozen=True, eq=False)
class Reply:
    """What the server holds of some users and items."""

    clock: int
    memories: list[bytes]
    """Per query, for `packing.unpack_memories`; empty if the user is not held."""
    counters: Float64Array
    """float64[pair, 3 + windows]: events in all (-1 if there never was one), when the first became known and happened,
    events within each window."""
    cancelled: list[bytes]
    """Per query, the user's cancelled events, for `packing.unpack_identities`."""


class RedisMemories:
    """The shared memories of one name on a server: redis://host:port/db#name, where the name is recmem by default.

    `timeout`: seconds to connect, and for an answer. `keep_days`: the server drops a user who had no event for so long,
    and the user is then read from the tables that the process has loaded, so load them more often than that.
    `on_failure`: what happens if the server does not answer, or has lost data that an answer needs. "error" raises
    UnavailableError; "tables" answers from the loaded tables, and counts these answers. `expire_s`: seconds after which
    everything that is published under the name expires, for memories of an hour; by default nothing does.

    What is lost shows, and is refused: a server that was restarted or flushed, evicted keys, and a state older than one
    that this process has seen (`stamps.SeenStates`).
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 0.25,
        keep_days: float = 90.0,
        on_failure: Literal["error", "tables"] = "error",
        expire_s: int | None = None,
    ) -> None:
        if not (timeout > 0 and keep_days > 0):
            got = f"timeout {timeout} and keep_days {keep_days}"
            raise DataError(f"online: expected a timeout and keep_days above 0, got {got}. Raise them.")
        if on_failure not in ("error", "tables"):
            raise DataError(f"online.on_failure: expected 'error' or 'tables', got {on_failure!r}. Use one of the two.")
        self.on_failure = on_failure
        self._keep_s = max(int(keep_days * _SECONDS_PER_DAY), 1)
        self._expire_s = expire_s
        address, name = split_url(url)
        self._server = Server(address, name, timeout)
        self._seen = SeenStates()
        self._store = ""
        """Identity of the store that the memories have to be of; empty for any."""

    def __repr__(self) -> str:
        return f"RedisMemories({self._server.shown}#{self._server.name})"

    def of_store(self, identity: str) -> RedisMemories:
        """The same memories, refused if they are published from another store than that with this identity."""
        bound = copy(self)
        bound._store = identity
        return bound

    def publish(
        self,
        events: pl.DataFrame,
        items: pl.Series,
        settings: MemorySettings,
        *,
        answers_from: int | None = None,
        replaces: bool = False,
        on_progress: Callable[[int], None] | None = None,
    ) -> PublishReceipt:
        """Brings the server to what the tables contain; keeps what has been written since.

        `items` are the ids of the catalogue; events of other items are left out. `answers_from` (microseconds) is the
        earliest time that can be read, by default the longest window before the newest event. Others can read and write
        while this runs. It can be repeated at any time, and has to be if it was killed. `replaces`: what the name
        holds is removed first, also what was written and the tables lack.

        Raises LostDataError if the server loses data meanwhile, and DataError if the name holds memories of other
        settings, or of another store.
        """
        rows = event_rows(events, items, settings.signals)
        if replaces:
            self.clear()
        return publish(
            self._server,
            rows,
            settings,
            store=self._store,
            keep_s=self._keep_s,
            expire_s=self._expire_s,
            answers_from=answers_from,
            on_progress=on_progress,
        )

    def publish_anew(self, events: pl.DataFrame, items: pl.Series) -> None:
        """Publishes with the settings and the horizon that the server has; does nothing if nothing is published."""
        settings = self.settings()
        (horizon,) = self._server.meta("horizon")
        if settings is not None and horizon:
            self.publish(events, items, settings, answers_from=int(horizon))

    def warnings(self) -> tuple[str, ...]:
        """Sentences about the server: settings with which it may lose data, or a restart since the publish."""
        (run,) = self._server.meta("run")
        return self._server.state().warnings_since(run)

    def settings(self) -> MemorySettings | None:
        """The settings that the memories were written with; None without a finished publish."""
        settings, window, whole = self._server.meta("settings", "window", "whole")
        return MemorySettings.from_json(settings, int(window)) if settings and window and whole else None

    def read(
        self,
        settings: MemorySettings,
        users: Sequence[str],
        times: IntArray,
        items: Sequence[tuple[int, Sequence[str]]],
    ) -> Reply:
        """Memories of `users[n]` as of `times[n]`, and counters of items as of times; NOW stands for the clock.

        One round trip. Raises UnavailableError, or DataError if nothing is published or a time is no longer covered.
        """
        windows = settings.windows
        arguments: list[Argument] = [settings.to_json(), self._store, settings.limit, len(windows), *windows]
        arguments.append(len(users))
        for user, time in zip(users, times.tolist(), strict=True):
            arguments += (user, _time_argument(time))
        arguments.append(len(items))
        for time, ids in items:
            arguments += (_time_argument(time), len(ids), *ids)
        seen = self._seen.newest
        clock, stamp, *blobs = self._server.call("read_request", arguments)
        self._note(stamp, seen)
        n_users = len(users)
        counters = np.frombuffer(blobs[n_users], "<f8").reshape(-1, 3 + len(windows))
        return Reply(int(clock), memories=blobs[:n_users], counters=counters, cancelled=blobs[n_users + 1 :])

    def write(
        self,
        rows: pl.DataFrame,
        settings: MemorySettings,
        in_tables: BoolArray,
        tables: pl.DataFrame,
        *,
        clock_step: tuple[int, int] = (END_OF_TIME, 0),
    ) -> list[WriteOutcome]:
        """Writes rows of `event_rows`, each once; returns what became of each.

        `clock_step`: how an event may move the clock, see `log_clock.clock_step`; by default without a limit.

        `in_tables`: whether the tables contain events of the row's user. If the server has dropped such a user, the
        memory is first merged from `tables`, the rows of the tables.
        """
        outcomes = self._write_rows(rows, settings, in_tables, tables["identity"], clock_step)
        not_held = [place for place, outcome in enumerate(outcomes) if outcome is WriteOutcome.NOT_HELD]
        if not_held:
            again = rows[not_held]
            users = again["user"].unique()
            of_users = tables.filter(pl.col("user").is_in(users.implode()))
            merge_dropped_users(self._server, of_users, settings, store=self._store, keep_s=self._keep_s)
            # As if the tables lacked them: a user without a valid event is not held after the merge either.
            nowhere = np.zeros(len(not_held), bool)
            retried = self._write_rows(again, settings, nowhere, tables["identity"], clock_step)
            for place, outcome in zip(not_held, retried, strict=True):
                outcomes[place] = outcome
        return outcomes

    def forget_user(self, user: str, events: pl.DataFrame) -> int:
        """Removes the user's memory, and the user's events from the counters; returns how many entries were removed.

        `events` are the user's rows (`event_rows`) in the tables. Counts of older events follow with the next publish.
        """
        known: list[Argument] = []
        for item, member in zip(events["item"], counted_members(events), strict=True):
            known += (item, member)
        return int(self._server.call("forget_user", [self._store, user, self._keep_s, *known]))

    def forget_item(self, item: str) -> int:
        """Removes an item from the counters and from every memory; returns how many entries were removed."""
        users = self._users()
        begins = range(0, max(len(users), 1), _USERS_PER_CALL)
        calls = ([self._store, item, *users[at : at + _USERS_PER_CALL]] for at in begins)
        return self._server.call_each("forget_item", calls)

    def clear(self) -> None:
        """Removes everything of this name from the server."""
        self._server.delete_all(forgotten=True)

    def _note(self, stamp: bytes, seen: Stamp | None) -> None:
        """Takes note of an answer's state. Raises LostDataError if it is older than the one that was seen before."""
        if self._seen.went_back(Stamp.parse(stamp), seen):
            raise went_back(self._server.shown, self._server.name)

    def _users(self) -> list[Argument]:
        """Ids of all users of whom the server holds anything."""
        n_bytes = len(self._server.key("u:").encode())
        return list(dict.fromkeys(key[n_bytes:] for key in self._server.keys(_USER_KEYS)))

    def _write_rows(
        self,
        rows: pl.DataFrame,
        settings: MemorySettings,
        in_tables: BoolArray,
        identities: pl.Series,
        clock_step: tuple[int, int] = (END_OF_TIME, 0),
    ) -> list[WriteOutcome]:
        """Writes the rows in calls of bounded size; `identities` are those of all rows in the tables."""
        target_in_tables = pl.col("target").is_in(identities.implode()).fill_null(value=False)
        rows = rows.with_columns(
            pl.col("target").fill_null(b""),
            pl.col("has_id").cast(pl.Int8),
            in_tables=pl.Series(in_tables).cast(pl.Int8),
            member=pl.Series(memory_members(rows), dtype=pl.Binary),
            target_in_tables=target_in_tables.cast(pl.Int8),
        )
        # In the order of the arguments of `write_events.lua`.
        ordered = rows.select(
            "user",
            "item",
            "identity",
            "has_id",
            "in_tables",
            "known",
            "time",
            "member",
            "target",
            "target_in_tables",
        )
        outcomes: list[WriteOutcome] = []
        for batch in ordered.iter_slices(_ROWS_PER_CALL) if len(ordered) else ():
            arguments: list[Argument] = [
                settings.to_json(),
                self._store,
                self._keep_s,
                settings.max_held,
                *clock_step,
            ]
            for row in batch.iter_rows():
                arguments += row
            seen = self._seen.newest
            stamp, letters = self._server.call("write_events", arguments)
            self._note(stamp, seen)
            outcomes += [WriteOutcome(letter) for letter in letters.decode()]
        return outcomes


def _time_argument(time: int) -> Argument:
    return "" if time == NOW else time
