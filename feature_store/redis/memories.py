"""Memories and counters of all users and items on one Redis server: published from the tables, written to, read.

A user's newest events and an item's recent ones are held; what is older is a number. So the answers are those of the
tables, to the bit, for every moment from the horizon on, and what is held does not grow with the past. An event that is
taken back is removed: of its user and its item no moment before that is answered any more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from feature_store.arrays import BoolArray, Float64Array, IntArray
from feature_store.data_errors import DataError
from feature_store.point_in_time.as_of_reads import END_OF_TIME
from feature_store.redis.rows import HEAD, event_rows, heads, members, waiting
from feature_store.redis.server import Argument, Server
from feature_store.signals import SignalConfig

FORMAT = 2
NOW = np.iinfo(np.int64).min
"""Stands for the clock of the online memories: the first moment at which all that they hold is known."""
NEW, DUPLICATE, TOO_LATE, TOO_OLD, NOT_HELD = "n", "d", "l", "o", "m"
"""What became of an event that was written, or of a cancellation: too old is the event that it takes back."""
_SECONDS_A_DAY = 86_400
_AT_ONCE = 1000
"""Events of one call."""


@dataclass(frozen=True)
class Rules:
    """How events become memories and counters; whoever reads and who writes must agree on them."""

    signals: SignalConfig
    windows: tuple[int, ...]
    """Lengths of the windows that counters are asked for, microseconds."""
    limit: int
    """Events of a memory; twice as many are held."""

    @property
    def settings(self) -> str:
        """What is compared: all but the windows, of which the longest counts."""
        return json.dumps({"format": FORMAT, "signals": asdict(self.signals), "limit": self.limit}, sort_keys=True)

    @classmethod
    def of(cls, settings: str, window: int) -> Rules:
        """The rules that a server's memories were written by."""
        told = json.loads(settings)
        signals: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in told["signals"].items()
        }
        return cls(SignalConfig(**signals), (window,), told["limit"])

    @property
    def window(self) -> int:
        """The longest window."""
        return max(self.windows)


@dataclass(frozen=True)
class Published:
    """What the tables gave."""

    n_users: int
    n_items: int
    n_events: int
    horizon: int
    """Microseconds: questions about earlier moments are refused."""


@dataclass(frozen=True, eq=False)
class Reply:
    """What the server holds of some users and items."""

    clock: int
    memories: list[bytes]
    """Of each query, as `rows.unpacked` reads them; empty for a user who is not held."""
    counters: Float64Array
    """float64[pair, 3 + windows]: events in all (-1: none ever), first known, first time, events within each window."""
    taken_back: list[bytes]
    """Of each query, what its user has taken back, as `rows.unpacked` reads it."""


class RedisMemories:
    """The online memories of one name on a server: redis://host:port/db#name, by default `recmem`.

    `timeout`: seconds for connecting, and for an answer. `keep_days`: a user who did nothing for so long is dropped
    from the server, and read from the tables that the process has loaded: load them more often than that.
    `on_failure`: where the server does not answer, "error" raises UnavailableError; "tables" answers with what the
    tables held when the process loaded them, and counts those answers.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 0.25,
        keep_days: float = 90.0,
        on_failure: Literal["error", "tables"] = "error",
    ) -> None:
        if not (timeout > 0 and keep_days > 0):
            got = f"{timeout} and {keep_days}"
            raise DataError(f"online: expected a timeout and keep_days above 0, got {got}. Raise them.")
        if on_failure not in ("error", "tables"):
            raise DataError(f"online.on_failure: expected error or tables, got {on_failure!r}. Choose one.")
        self.on_failure = on_failure
        self._keep = max(int(keep_days * _SECONDS_A_DAY), 1)
        address, _, name = url.partition("#")
        self._server = Server(address, name or "recmem", timeout)

    def publish(
        self,
        events: pl.DataFrame,
        items: pl.Series,
        rules: Rules,
        *,
        answers_from: int | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Published:
        """Brings the server to what the tables hold, beside what has been written since; safe to repeat at any time.

        `items` are the ids of the catalogue; events of others are left out. `answers_from` (microseconds): the earliest
        moment that can be asked about, by default the longest window before the newest event. Killed, it is to be
        repeated. Readers go on meanwhile. DataError where memories of other rules have that name.
        """
        rows = event_rows(events, items, rules.signals)
        ever = rows.filter(pl.col("target").is_null(), pl.col("gone") > pl.col("known"))
        changes = pl.concat([ever["known"], ever["gone"].filter(ever["gone"] < END_OF_TIME)])
        clock = int(changes.to_numpy().max(initial=0)) if len(changes) else 0
        horizon = clock - rules.window if answers_from is None else answers_from
        self._begin(rules, horizon)
        users = self._fill_users(rows, rules, joins=True, on_progress=on_progress)
        counted = self._fill_items(rows, horizon, rules.window, on_progress)
        self._server.call("finish", [rules.settings, rules.window, horizon, clock])
        return Published(users, counted, len(rows.filter(pl.col("gone") == END_OF_TIME)), horizon)

    def publish_anew(self, events: pl.DataFrame, items: pl.Series) -> None:
        """As `publish`, by the rules and with the horizon that the server has; nothing where it has none."""
        settings, window, horizon, whole = self._noted("settings", "window", "horizon", "whole")
        if settings and window and horizon and whole:
            self.publish(events, items, Rules.of(settings, int(window)), answers_from=int(horizon))

    def read(
        self,
        rules: Rules,
        users: Sequence[str],
        times: IntArray,
        items: Sequence[tuple[int, Sequence[str]]],
    ) -> Reply:
        """Memories of `users[n]` as of `times[n]`, and counters of items as of moments; NOW for the clock.

        One round trip. Raises UnavailableError, or DataError where nothing was published, or a moment is out of reach.
        """
        arguments: list[Argument] = [rules.settings, rules.limit, len(rules.windows), *rules.windows, len(users)]
        for user, time in zip(users, times.tolist(), strict=True):
            arguments += (user, _said(time))
        arguments.append(len(items))
        for time, ids in items:
            arguments += (_said(time), len(ids), *ids)
        clock, *told = self._server.call("read", arguments)
        memories, counters, taken_back = told[: len(users)], told[len(users)], told[len(users) + 1 :]
        columns = np.frombuffer(counters, "<f8").reshape(-1, 3 + len(rules.windows))
        return Reply(int(clock), memories, columns, taken_back)

    def write(self, rows: pl.DataFrame, rules: Rules, in_tables: BoolArray, tables: pl.DataFrame) -> list[str]:
        """Adds rows as `event_rows` gives them, each once: what became of each.

        `in_tables`: whether the tables hold events of its user, who is filled from `tables` (rows of the same kind)
        where the server has dropped him.
        """
        became = self._written(rows, rules, in_tables, tables["identity"])
        absent = pl.Series(became, dtype=pl.String) == NOT_HELD
        if absent.any():
            ids = rows.filter(absent)["user"].unique()
            self._fill_users(tables.filter(pl.col("user").is_in(ids.implode())), rules, joins=False)
            places = absent.arg_true().to_list()
            nothing = np.zeros(len(places), bool)
            again = self._written(rows.filter(absent), rules, nothing, tables["identity"])
            for place, state in zip(places, again, strict=True):
                became[place] = state
        return became

    def rules(self) -> Rules | None:
        """What the memories were written by; None where none are whole."""
        settings, window, whole = self._noted("settings", "window", "whole")
        return Rules.of(settings, int(window)) if settings and window and whole else None

    def forget_user(self, user: str, events: pl.DataFrame) -> int:
        """Removes the user's memory and what the counters hold of it; `events` are those of the tables (`event_rows`).

        Gives how much there was. Counts of older events follow with the next `publish`.
        """
        known = [part for row in zip(events["item"], heads(events), strict=True) for part in row]
        return int(self._server.call("forget_user", [user, HEAD, self._keep, *known]))

    def forget_item(self, item: str) -> int:
        """As `forget_user`, for an item: out of the counters and of every memory."""
        users = self._users()
        parts: list[list[Argument]] = [users[at : at + _AT_ONCE] for at in range(0, max(len(users), 1), _AT_ONCE)]
        return self._server.call_each("forget_item", ([item, HEAD, *part] for part in parts))

    def clear(self) -> None:
        """Removes everything of this name from the server."""
        with self._server.failures():
            client = self._server.client
            client.delete(self._meta)
            for key in client.scan_iter(match=_literal(f"{self._server.prefix}:") + "*", count=_AT_ONCE):
                client.unlink(key)

    def _users(self) -> list[Argument]:
        """Ids of all of whom anything is held."""
        found = dict[Argument, None]()
        for kind in "uxw":
            start = f"{self._server.prefix}:{kind}:"
            with self._server.failures():
                for key in self._server.client.scan_iter(match=_literal(start) + "*", count=_AT_ONCE):
                    found[key[len(start.encode()) :]] = None
        return list(found)

    @property
    def _meta(self) -> str:
        return f"{self._server.prefix}:meta"

    def _begin(self, rules: Rules, horizon: int) -> None:
        """From here on only what both the old and the new state can answer is answered."""
        settings, window, held = self._noted("settings", "window", "horizon")
        if settings is not None and settings != rules.settings:
            remedy = "Give these another name (redis://host:port/db#name), or clear the others (RedisMemories.clear)."
            raise DataError(
                f"online: expected memories of the same signals under {self._server.prefix!r}, got others. {remedy}"
            )
        if window is not None and held is not None:
            with self._server.failures():
                self._server.client.hset(self._meta, "horizon", str(max(int(held), horizon)))
                self._server.client.hset(self._meta, "window", str(min(int(window), rules.window)))

    def _noted(self, *names: str) -> list[str | None]:
        """What the meta hash says of each."""
        with self._server.failures():
            found: list[Any] = self._server.client.hmget(self._meta, list(names))
        return [None if value is None else value.decode() for value in found]

    def _fill_users(
        self, rows: pl.DataFrame, rules: Rules, *, joins: bool, on_progress: Callable[[int], None] | None = None
    ) -> int:
        standing, longest = rows.filter(pl.col("gone") == END_OF_TIME), 2 * rules.limit
        by_user, gone, waits = standing.sort("user", maintain_order=True), _taken_back(rows), waiting(rows)
        packed, known = members(by_user), by_user["known"].to_numpy()
        when = [at if at > first else "-inf" for at, first in gone.select("gone", "known").iter_rows()]
        theirs = _parts(gone["user"], when, members(gone))
        orders = _parts(waits["user"], waits["known"].to_list(), waits["target"].to_list(), waits["item"].to_list())

        def calls() -> Iterator[list[Argument]]:
            for user, begin, end in _runs(by_user["user"], theirs.keys() | orders.keys()):
                first = begin
                if end - begin > longest:  # what became known together stays together
                    first = begin + int(np.searchsorted(known[begin:end], known[end - longest]))
                held = [part for at in range(first, end) for part in (int(known[at]), packed[at])]
                mine, waiting_for = theirs.get(user, []), orders.get(user, [])
                edge = int(known[first]) if first < end else 0
                head: list[Argument] = [user, self._keep, longest, int(joins), first - begin, edge]
                yield [*head, len(mine) // 2, len(waiting_for) // 3, *mine, *waiting_for, *held]

        self._server.call_each("fill_user", calls(), on_progress)
        return by_user["user"].n_unique()

    def _fill_items(
        self, rows: pl.DataFrame, horizon: int, window: int, on_progress: Callable[[int], None] | None
    ) -> int:
        oldest, standing, gone = horizon - window, rows.filter(pl.col("gone") == END_OF_TIME), _taken_back(rows)
        by_item = standing.sort("item", maintain_order=True)
        known, times, counted = by_item["known"].to_numpy(), by_item["time"].to_numpy(), heads(by_item)
        recent = gone.filter(pl.col("known") > oldest)
        ended = _parts(recent["item"], recent["known"].to_list(), recent["identity"].to_list())
        ever = gone.with_columns(pl.when(pl.col("gone") > pl.col("known")).then("gone").otherwise(0))
        floors = dict(ever.group_by("item").agg(pl.col("gone").max()).iter_rows())

        def calls() -> Iterator[list[Argument]]:
            for item, begin, end in _runs(by_item["item"], floors.keys()):
                first = begin + int(np.searchsorted(known[begin:end], oldest, side="right"))
                held = [part for at in range(first, end) for part in (int(known[at]), counted[at])]
                when = [int(known[begin]), int(times[begin])] if begin < end else [0, 0]
                mine = ended.get(item, [])
                yield [item, oldest, first - begin, *when, floors.get(item, 0), len(mine) // 2, *mine, *held]

        self._server.call_each("fill_item", calls(), on_progress)
        with self._server.failures():
            fields: list[Any] = self._server.client.hkeys(f"{self._server.prefix}:items")
        held = {field.decode() for field in fields}
        self._server.call_each("drop_item", ([item, oldest, horizon] for item in held - set(rows["item"])))
        named = rows.filter(pl.col("has_id") & (pl.col("known") > oldest))
        scores = dict(zip(named["identity"].to_list(), named["known"].to_list(), strict=True))
        with self._server.failures():
            for at in range(0, len(scores), _AT_ONCE):
                some = dict(list(scores.items())[at : at + _AT_ONCE])
                self._server.client.zadd(f"{self._server.prefix}:ids", some)
        return by_item["item"].n_unique()

    def _written(self, rows: pl.DataFrame, rules: Rules, in_tables: BoolArray, identities: pl.Series) -> list[str]:
        packed, became = members(rows), []
        is_known = pl.col("target").is_in(identities.implode()).fill_null(value=False)
        rows = rows.with_columns(pl.col("target").fill_null(b""), is_known=is_known.cast(pl.Int8))
        for begin in range(0, len(rows), _AT_ONCE):
            arguments: list[Argument] = [rules.settings, self._keep, 2 * rules.limit]
            some = rows[begin : begin + _AT_ONCE]
            parts = zip(
                some.select("user", "item", "identity", "has_id", "known", "time", "target", "is_known").rows(),
                in_tables[begin : begin + _AT_ONCE].tolist(),
                packed[begin : begin + _AT_ONCE],
                strict=True,
            )
            for (user, item, identity, has_id, known, time, *cancels), stored, member in parts:
                arguments += (user, item, identity, int(has_id), int(stored), known, time, member, *cancels)
            became += list(self._server.call("write", arguments).decode())
        return became


def _said(time: int) -> Argument:
    return "" if time == NOW else time


def _taken_back(rows: pl.DataFrame) -> pl.DataFrame:
    """The events among rows of `event_rows` that are gone, or never counted."""
    return rows.filter(pl.col("target").is_null(), pl.col("gone") < END_OF_TIME)


def _parts(keys: pl.Series, *columns: Sequence[Argument]) -> dict[str, list[Argument]]:
    """Key to the cells of its rows, row after row."""
    found: dict[str, list[Argument]] = {}
    for key, *cells in zip(keys.to_list(), *columns, strict=True):
        found.setdefault(key, []).extend(cells)
    return found


def _runs(keys: pl.Series, others: Set[str]) -> Iterator[tuple[str, int, int]]:
    """Each value of a sorted column with where its rows begin and end; then those of `others` that have no row."""
    lengths = keys.rle().struct.unnest()
    end = 0
    for length, key in lengths.select("len", "value").iter_rows():
        yield key, end, end + length
        end += length
    if others:
        yield from ((key, 0, 0) for key in sorted(others - set(lengths["value"])))


def _literal(text: str) -> str:
    """The text as a Redis pattern that matches it alone."""
    return "".join(f"\\{char}" if char in "*?[]\\^-" else char for char in text)
