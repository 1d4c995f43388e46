"""Restarts a Redis server, or lets it evict keys, at random instants of a publish: answers are right, or refused.

    python -m tests.soak redis --rounds 100

A real server, killed and started again with nothing, with a snapshot of before the publish or with one of its middle;
or with a memory bound that makes it evict, under each policy. Afterwards every user and item is read by a process that
has seen nothing of it; right is what the tables answer, of a user or an item whose merge has not come yet those of
before. Then the publish is repeated, at most twice, and all answers must be right.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import redis

from feature_store import DataError, EventLog, SignalConfig
from feature_store.point_in_time.event_log import rows_of
from feature_store.point_in_time.online_log import log_of
from feature_store.redis import LostDataError, RedisMemories, UnavailableError
from feature_store.redis import server as redis_server_module
from feature_store.redis.fetch_request import FetchRequest
from feature_store.redis.fetched_log import FetchedLog
from feature_store.redis.loaded_tables import LoadedTables
from feature_store.redis.memory_settings import MemorySettings
from online_memories import assert_same_reads
from redis_server import free_port, running

N_USERS, N_ITEMS, N_EVENTS = 120, 60, 1_500
USERS = pl.Series("user_id", [f"user{number:03}" for number in range(N_USERS)])
ITEMS = pl.Series("item_id", [f"item{number:03}" for number in range(N_ITEMS)])
SETTINGS = MemorySettings(SignalConfig(), (1, 3, 9), limit=50)
NOW = N_EVENTS + 100
POLICIES = ("allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-ttl", "noeviction")
SNAPSHOTS = ("none", "before", "middle")
CALLS_PER_BATCH = 10
"""Small, so that a publish has many instants."""
MOST_REPEATS = 2


@dataclass
class Tally:
    """What the rounds of one kind found; `faults` must stay empty."""

    rounds: int = 0
    published: int = 0
    """Publishes that ended as published."""
    set_back: int = 0
    """Of these, servers that were set back to an older state after the end, which is told when a process connects."""
    right: int = 0
    """Users with an item that were then answered as the tables answer."""
    refused: int = 0
    """Users with an item whose answer was refused."""
    words: Counter[str] = field(default_factory=Counter)
    """What the refused publishes said."""
    faults: list[str] = field(default_factory=list)


def tables(seed: int) -> pl.DataFrame:
    """A log with an id for each event; a later seed adds to it."""
    chance = random.Random(0)
    rows = [(chance.randrange(N_USERS), chance.randrange(N_ITEMS), time) for time in range(N_EVENTS)]
    rows = rows[: N_EVENTS // 2] if seed == 0 else rows
    frame = pl.DataFrame(rows, schema=["user", "item", "time"], orient="row")
    return frame.select(
        user_id=USERS.gather(frame["user"]),
        item_id=ITEMS.gather(frame["item"]),
        timestamp=pl.col("time").cast(pl.Datetime("us", "UTC")),
        event=pl.lit("click"),
        value=pl.lit(None, pl.Float64),
        session_id=pl.lit(None, pl.String),
        available_at=pl.lit(None, pl.Datetime("us", "UTC")),
        event_id=pl.format("e{}", "time"),
        cancels=pl.lit(None, pl.String),
    )


OLD, NEW = tables(0), tables(1)
WHOLE = {name: EventLog.from_frame(frame, USERS, ITEMS, SignalConfig()) for name, frame in (("old", OLD), ("new", NEW))}
STRANGER = LoadedTables(
    log_of(NEW[:0], USERS, ITEMS, SignalConfig()),
    NEW[:0],
    ITEMS,
    lambda ids: rows_of(ids, ITEMS).to_numpy(),
    SignalConfig(),
)
"""The tables of a process that has loaded none, so that whatever is missing on the server is missing in the answer."""


class Restartable:
    """A server on one port and folder that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._stack = ExitStack()
        self.start()
        self.client = redis.Redis(host="127.0.0.1", port=self.port)

    def start(self) -> None:
        self._stack.enter_context(running(self._folder, self.port, ["--save", ""]))

    def restart(self) -> None:
        self._stack.close()
        self.start()

    def stop(self) -> None:
        self.client.close()
        self._stack.close()

    def forget_snapshot(self) -> None:
        (self._folder / "dump.rdb").unlink(missing_ok=True)


def publish(url: str, frame: pl.DataFrame, on_progress: Callable[[int], None] | None = None) -> None:
    memories = RedisMemories(url, timeout=5)
    memories.publish(frame, ITEMS, SETTINGS, answers_from=0, on_progress=on_progress)


def answers(url: str, allowed: tuple[str, ...], tally: Tally) -> list[str]:
    """Reads each user with an item, alone. Returns the faults: answers that are those of none of the allowed tables."""
    memories = RedisMemories(url, timeout=5)
    faults = []
    for user in range(N_USERS):
        item = user % N_ITEMS
        row, at = np.array([user]), np.array([NOW])
        request = FetchRequest(USERS[user : user + 1], row, at, np.array([item]), at)
        try:
            reads = FetchedLog.fetch(memories, SETTINGS, STRANGER, USERS, request)
        except (LostDataError, UnavailableError):
            tally.refused += 1
            continue
        # In a publish that has not ended, a user may be merged already, and an item not yet.
        is_user_right = any(_is_right(reads, WHOLE[name], [user], []) for name in allowed)
        if is_user_right and any(_is_right(reads, WHOLE[name], [], [item]) for name in allowed):
            tally.right += 1
        else:
            faults.append(f"{USERS[user]} with {ITEMS[item]}: answered wrongly")
    return faults


def _is_right(reads: FetchedLog, whole: EventLog, users: list[int], items: list[int]) -> bool:
    try:
        assert_same_reads(
            reads, whole, NOW, SETTINGS.limit, users=np.array(users, np.int64), items=np.array(items, np.int64)
        )
    except AssertionError:
        return False
    return True


def one_round(
    server: Restartable,
    act: Callable[[int], None],
    chance: random.Random,
    length_s: float,
    tally: Tally,
    *,
    n_acts: int = 1,
) -> None:
    """A publish over an older one with acts in it: between two of its batches each, or at any instants."""
    n_batches = (N_USERS + N_ITEMS) // CALLS_PER_BATCH
    acts_after = sorted(chance.sample(range(1, n_batches + 1), n_acts))
    instants = sorted(chance.uniform(0, length_s) for _ in range(n_acts))
    n_done = [0]

    def between(_: int) -> None:
        n_done[0] += 1
        if n_done[0] in acts_after:
            act(acts_after.index(n_done[0]) + 1)

    def at_instants() -> None:
        begin = time.monotonic()
        for number, instant in enumerate(instants, 1):
            time.sleep(max(begin + instant - time.monotonic(), 0))
            act(number)

    is_between = chance.random() < 0.5
    thread = threading.Thread(target=at_instants)
    if not is_between:
        thread.start()
    try:
        publish(server.url, NEW, between if is_between else None)
        has_ended = True
        tally.published += 1
    except DataError as error:
        has_ended = False
        tally.words[_kind(str(error))] += 1
    if not is_between:
        thread.join()
    tally.rounds += 1
    server.client.config_set("maxmemory", 0)
    # Where the publish was refused, users and items may still be those of the older tables. And where the server was
    # set back only after the publish had ended, a process that has seen nothing of it cannot know; but it is told so.
    is_told = any("restarted" in sentence for sentence in RedisMemories(server.url, timeout=5).warnings())
    tally.set_back += has_ended and is_told
    allowed = ("new",) if has_ended and not is_told else ("old", "new")
    tally.faults += answers(server.url, allowed, tally)
    for attempt in range(MOST_REPEATS + 1):
        try:
            publish(server.url, NEW)
            break
        except DataError as error:
            if attempt == MOST_REPEATS:
                tally.faults.append(f"not repeatable: {error}")
    after = Tally()
    tally.faults += [f"after the repeated publish, {fault}" for fault in answers(server.url, ("new",), after)]
    if after.refused:
        tally.faults.append(f"after the repeated publish, {after.refused} refused")


def _kind(text: str) -> str:
    """What a refused publish said, without addresses."""
    kinds = ("lost data", "no memory left", "older state", "refused", "Connection", "none within")
    return next((kind for kind in kinds if kind in text), text)


def restart_round(server: Restartable, chance: random.Random, length_s: float, tally: Tally) -> None:
    """The server dies, and comes back with one of the snapshots."""
    snapshot = chance.choice(SNAPSHOTS)
    server.forget_snapshot()
    if snapshot == "before":
        server.client.save()

    def act(number: int) -> None:
        if snapshot != "middle" or number == 2:
            server.restart()
        else:
            server.client.save()  # what the publish does until the restart is lost

    one_round(server, act, chance, length_s, tally, n_acts=2 if snapshot == "middle" else 1)


def eviction_round(server: Restartable, chance: random.Random, length_s: float, tally: Tally) -> None:
    """The server's memory is full for a while."""
    policy = chance.choice(POLICIES)
    share = chance.uniform(0.9, 1.0)
    is_short = chance.random() < 0.5

    def act(_: int) -> None:
        used = int(server.client.info("memory")["used_memory"])
        server.client.config_set("maxmemory-policy", policy)
        server.client.config_set("maxmemory", int(used * share))
        if is_short:
            server.client.get("nothing")
            server.client.config_set("maxmemory", 0)

    one_round(server, act, chance, length_s, tally)


ROUNDS = {"restart": restart_round, "eviction": eviction_round}


def run(rounds: int, seed: int, folder: Path) -> dict[str, Tally]:
    """So many restarts, and as many evictions."""
    chance = random.Random(seed)
    tallies = {name: Tally() for name in ROUNDS}
    calls_per_batch = redis_server_module._CALLS_PER_BATCH
    redis_server_module._CALLS_PER_BATCH = CALLS_PER_BATCH
    try:
        for name, one in ROUNDS.items():
            for number in range(rounds):
                (place := folder / f"{name}{number}").mkdir()
                server = Restartable(place)
                try:
                    publish(server.url, OLD)
                    begin = time.monotonic()
                    publish(f"{server.url}#undisturbed", NEW)
                    one(server, chance, time.monotonic() - begin, tallies[name])
                finally:
                    server.stop()
    finally:
        redis_server_module._CALLS_PER_BATCH = calls_per_batch
    return tallies


def main(rounds: int, seed: int) -> int:
    """Prints a line a kind; 1 where an answer was wrong or a publish could not be repeated."""
    with tempfile.TemporaryDirectory() as folder:
        tallies = run(rounds, seed, Path(folder))
    for name, tally in tallies.items():
        said = ", ".join(f"{kind} {n}" for kind, n in tally.words.most_common())
        print(
            f"{name}: {tally.rounds} rounds, {tally.published} published ({tally.set_back} set back later), "
            f"{tally.rounds - tally.published} refused "
            f"({said}); then {tally.right} answers right, {tally.refused} refused, {len(tally.faults)} faults"
        )
        print(*tally.faults[:20], sep="\n", end="\n" if tally.faults else "")
    return int(any(tally.faults for tally in tallies.values()))
