"""What a server holds of the users and items of one request, read as a log is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import polars as pl

from feature_store.arrays import BoolArray, IntArray
from feature_store.data_errors import DataError
from feature_store.point_in_time.as_of_reads import AsOf, Past
from feature_store.point_in_time.event_log import EventLog
from feature_store.point_in_time.online_log import OnlineLog
from feature_store.ragged import Ragged
from feature_store.redis.loaded_tables import Loaded
from feature_store.redis.memories import NOW, RedisMemories, Reply, Rules
from feature_store.redis.rows import EMPTY, identities, unpacked

PAIRS_AT_ONCE = 5_000
"""Items whose counters are asked for in one round trip: the server serves no one else meanwhile."""


@dataclass(frozen=True, eq=False)
class Request:
    """Who and what is asked about: `users[n]` as of `times[n]`, and items as of moments. NOW stands for the clock."""

    users: pl.Series
    """Ids; null for nobody."""
    user_rows: IntArray
    """Their rows, -1 for who is in no table."""
    times: IntArray
    items: IntArray
    """Rows of the catalogue."""
    item_times: IntArray


@dataclass(frozen=True, eq=False)
class Fetched:
    """`AsOf` for the users and items of a request, and for no others.

    A user whom the server does not hold is read from the tables as the process has loaded them.
    """

    loaded: Loaded
    users: pl.Series
    """User ids in row order: those that the tables know, then who is new since."""
    clock: int
    n_items: int
    """Rows of the catalogue."""
    windows: tuple[int, ...]
    memory: Past
    """Of each query, and of nobody at the end."""
    counts: IntArray
    """Events of each query's user."""
    is_forgotten: BoolArray
    """Of each query: the server knows better than the tables that there is nothing."""
    numbers: _Numbers
    """Of queries."""
    pairs: _Numbers
    """Of items at moments."""
    taken_back: list[frozenset[bytes]]
    """Of each query, and of nobody: identities of events that the tables may still know and that are gone."""
    counters: IntArray = field(repr=False)
    """int64[pair, 3 + windows], at last of nothing: events, when the first was known and happened, those in windows."""

    @classmethod
    def of(
        cls,
        memories: RedisMemories,
        rules: Rules,
        loaded: Loaded,
        users: pl.Series,
        request: Request,
    ) -> Fetched:
        """Asks the server; `users` are the ids in row order."""
        items = loaded.items
        asked = zip(request.users.cast(pl.String).to_list(), request.times.tolist(), request.user_rows, strict=True)
        distinct = {(user, time): row for user, time, row in asked if user is not None}
        queries = _Queries(
            users=[user for user, _ in distinct],
            times=np.array([time for _, time in distinct], np.int64),
            rows=np.array(list(distinct.values()), np.int64),
        )
        known = (request.items >= 0) & (request.items < len(items))
        wanted = _distinct(request.item_times[known], request.items[known])
        reply = _asked(memories, rules, queries, wanted, items)
        times = np.where(queries.times == NOW, reply.clock, queries.times)
        rows, users = _with_new_users(queries, users, reply)
        memory, counts = _memories(reply, loaded.log, rows, times, loaded.item_rows, rules.limit)
        at = np.where(wanted[:, 0] == NOW, reply.clock, wanted[:, 0])
        counters = reply.counters.astype(np.int64)
        counters[:, 0] = np.maximum(counters[:, 0], 0)
        return cls(
            loaded=loaded,
            users=users,
            clock=reply.clock,
            n_items=len(items),
            windows=rules.windows,
            memory=memory,
            counts=np.append(counts, 0),
            is_forgotten=np.array([len(blob) == EMPTY for blob in [*reply.memories, b""]]),
            numbers=_Numbers.of(rows, times),
            pairs=_Numbers.of(wanted[:, 1], at),
            taken_back=[identities(blob) for blob in [*reply.taken_back, b""]],
            counters=np.concatenate([counters, np.zeros((1, counters.shape[1]), np.int64)]),
        )

    @property
    def base(self) -> EventLog | OnlineLog:
        """The log of the tables as the process has loaded them."""
        return self.loaded.log

    def past(self, users: IntArray, times: IntArray, limit: int | None = None) -> Past:
        """See `AsOf.past`; of at most as many events as a memory has."""
        held = self.memory.items
        rows = self.numbers.find(users, times)
        begin, end = held.offsets[rows], held.offsets[rows + 1]
        if limit is not None:
            begin = np.maximum(begin, end - limit)
        places = Ragged.from_ranges(begin, end)
        at = places.values
        past = self.memory
        return Past(Ragged(held.values[at], places.offsets), past.times[at], past.known[at], past.signs[at])

    def seen(self, users: IntArray, times: IntArray) -> Ragged:
        """See `AsOf.seen`: what the tables know of and has not been taken back since, and what is in the memory."""
        numbers = self.numbers.find(users, times)
        known = np.where(self.is_forgotten[numbers], -1, users)
        gone = [self.taken_back[number] for number in numbers.tolist()]
        parts = (self.loaded.seen(self.users, known, times, gone), self.past(users, times).items)
        query = np.concatenate([part.row_index for part in parts])
        order = np.argsort(query, kind="stable")
        items = np.concatenate([part.values for part in parts])[order]
        return Ragged.from_lengths(items, np.bincount(query, minlength=len(users)))

    def user_counts(self, users: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.user_counts`."""
        counts = self.counts[self.numbers.find(users, times)]
        newest = self.past(users, times, 1)
        when = np.zeros(len(users), np.int64)
        when[newest.items.row_index] = newest.times
        return counts, when

    def item_counts(self, items: IntArray, times: IntArray, windows: Sequence[int]) -> list[IntArray]:
        """See `AsOf.item_counts`; the windows are those of the rules."""
        if tuple(windows) != self.windows:
            raise ValueError(f"windows: expected {self.windows}, got {tuple(windows)}. Ask for what was fetched.")
        known = np.where(items < self.n_items, items, -1)
        columns = self.counters[self.pairs.find(known, times)]
        return [columns[:, 0], *columns[:, 3:].T]

    def item_firsts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """See `AsOf.item_firsts`."""
        columns = self.counters[self.pairs.find(items, times)]
        return columns[:, 1], columns[:, 2]

    def item_lasts(self, items: IntArray, times: IntArray) -> tuple[IntArray, IntArray]:
        """Raises DataError: a server counts the events of an item, and does not keep the newest."""
        raise DataError(
            "online: expected memories that hold when the last event of each item happened, got shared memories, "
            "which do not. Load the model without `online`."
        )


@dataclass(frozen=True, eq=False)
class _Numbers:
    """The place of each (row, time) that was asked for; a row of -1 has the place after the last."""

    times: IntArray
    keys: IntArray
    places: IntArray

    @classmethod
    def of(cls, rows: IntArray, times: IntArray) -> _Numbers:
        distinct, number = np.unique(times, return_inverse=True)
        keys = rows * max(len(distinct), 1) + number.reshape(-1)
        order = np.argsort(keys)
        return cls(distinct, keys[order], order)

    def find(self, rows: IntArray, times: IntArray) -> IntArray:
        """Raises ValueError for what was not asked for."""
        number = np.searchsorted(self.times, times)
        is_known = (number < len(self.times)) & (rows >= 0)
        keys = rows * max(len(self.times), 1) + number
        at = np.minimum(np.searchsorted(self.keys, keys), max(len(self.keys) - 1, 0))
        nobody = len(self.places)
        if not nobody:
            found, hit = np.full(len(rows), nobody), np.zeros(len(rows), bool)
        else:
            hit = is_known & (self.keys[at] == keys) & (self.times[np.minimum(number, len(self.times) - 1)] == times)
            found = np.where(hit, self.places[at], nobody)
        if not (hit | (rows < 0)).all():
            raise ValueError("request: expected users, items and times that were fetched, got others. Fetch them too.")
        return found


def _distinct(times: IntArray, items: IntArray) -> IntArray:
    """int64[pair, 2]: the distinct (time, item), sorted."""
    order = np.lexsort((items, times))
    pairs = np.stack([times[order], items[order]], axis=1)
    first = np.ones(len(pairs), bool)
    first[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    return pairs[first]


@dataclass(frozen=True, eq=False)
class _Queries:
    """Distinct users and times."""

    users: list[str]
    times: IntArray
    rows: IntArray


def _asked(memories: RedisMemories, rules: Rules, queries: _Queries, wanted: IntArray, items: pl.Series) -> Reply:
    """The reply to all queries and pairs: in one round trip, where these are not very many."""
    users, times = queries.users, queries.times
    ids = items.gather(wanted[:, 1]).cast(pl.String).to_list()
    parts = []
    for begin in range(0, max(len(users), len(ids), 1), PAIRS_AT_ONCE):
        some = slice(begin, begin + PAIRS_AT_ONCE)
        groups = groupby(zip(wanted[some, 0].tolist(), ids[some], strict=True), key=lambda pair: pair[0])
        asked = [(time, [item for _, item in pairs]) for time, pairs in groups]
        parts.append(memories.read(rules, users[some], times[some], asked))
        # All parts are as of one clock: that of the first.
        times, wanted = (np.where(column == NOW, parts[0].clock, column) for column in (times, wanted))
    return Reply(
        parts[0].clock,
        [blob for part in parts for blob in part.memories],
        np.concatenate([part.counters for part in parts]),
        [blob for part in parts for blob in part.taken_back],
    )


def _with_new_users(queries: _Queries, users: pl.Series, reply: Reply) -> tuple[IntArray, pl.Series]:
    """Rows of the queries' users, and the users with those whom only the server knows."""
    rows, new = queries.rows.copy(), dict[str, int]()
    for number, (user, blob) in enumerate(zip(queries.users, reply.memories, strict=True)):
        if rows[number] < 0 and len(blob) > EMPTY:
            rows[number] = new.setdefault(user, len(users) + len(new))
    if new:
        users = pl.concat([users, pl.Series(users.name, list(new), dtype=pl.String).cast(users.dtype)])
    return rows, users


def _memories(
    reply: Reply, base: AsOf, rows: IntArray, times: IntArray, item_rows_of: Callable[[pl.Series], IntArray], limit: int
) -> tuple[Past, IntArray]:
    """The past of each query and one empty one, and how many events there were."""
    lengths, ids, numbers = unpacked(reply.memories)
    item_rows = item_rows_of(pl.Series(ids, dtype=pl.String))
    query = np.repeat(np.arange(len(lengths)), lengths)
    counts = np.array([np.frombuffer(blob[:8], "<f8")[0] if blob else 0 for blob in reply.memories], np.int64)
    absent = np.flatnonzero([not blob for blob in reply.memories])
    when, known, signs = numbers[:, 0], numbers[:, 1], numbers[:, 2].astype(np.int8)
    if len(absent):
        there = base.past(rows[absent], times[absent], limit)
        counts[absent] = base.user_counts(rows[absent], times[absent])[0]
        query = np.concatenate([query, absent[there.items.row_index]])
        item_rows = np.concatenate([item_rows, there.items.values])
        when, known = np.concatenate([when, there.times]), np.concatenate([known, there.known])
        signs = np.concatenate([signs, there.signs])
    order = np.lexsort((signs, item_rows, when, known, query))
    order = order[item_rows[order] >= 0]
    held = Ragged.from_lengths(item_rows[order], np.bincount(query[order], minlength=len(lengths) + 1))
    return Past(held, when[order], known[order], signs[order]), counts
