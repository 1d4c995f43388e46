"""Forgets ids in twelve spellings under four clocks, and beside writers, and searches every byte afterwards.

    python -m tests.soak forgetting --rounds 48 --seconds 60

A round builds a store of several commits that holds an id in all tables, and in `rejected` in another spelling, in
several places. The clock of the writers is set back or forward: modification times and the times in the log. A data
file and a log entry of writers that were killed lie beside. Beside writers: three processes append events and rewrite
items, two read, and one id after the other is forgotten. No call may fail, no row of others may be lost, and
no file may hold the id, in its bytes or in its unpacked cells.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event
from pathlib import Path
from urllib.parse import quote

import polars as pl

from feature_store import Store
from feature_store.noted_digests import DIGESTS_FILE
from recmem.forgetting.forget import forget_item, forget_user
from recmem.text.vector_cache import VECTORS_FOLDER, VectorCache
from recmem.text.vector_parts import text_hash
from tests.soak import concurrency
from tests.soak.kills import DIM, Stand

SPELLINGS: dict[str, Callable[[int], object]] = {
    "as it is": lambda number: number,
    "text": str,
    "with .0": lambda number: f"{number}.0",
    "a float": float,
    "space before": lambda number: f" {number}",
    "space after": lambda number: f"{number}\u00a0 ",
    "exponent": lambda number: f"{number / 10 ** (len(str(number)) - 1)!r}e{len(str(number)) - 1}",
    "capital exponent": lambda number: f"{number / 10 ** (len(str(number)) - 1)!r}E+0{len(str(number)) - 1}",
    "leading zeros": lambda number: f"000{number}",
    "quoted": lambda number: f'"{number}"',
    "grouped": lambda number: f"{number:,}",
    "full width": lambda number: "".join(chr(ord(digit) + 0xFEE0) for digit in str(number)),
}
CLOCKS = {"right": 0, "an hour behind": 3600, "a day behind": 86_400, "ahead": -7 * 86_400}
"""Seconds by which the writers' clocks are ahead of the clock of the process that forgets."""
PLACES = ("user_id", "item_id", "session_id", "comment", "line")
WRITERS, READERS = 3, 2


@dataclass
class Tally:
    """What the rounds found; `faults` must stay empty."""

    rounds: int = 0
    forgotten_beside: int = 0
    batches: int = 0
    reads: int = 0
    faults: list[str] = field(default_factory=list)


def build(folder: Path, number: int, spelled: object, rng: random.Random) -> Store:
    """A store in which the number is a user and an item, in each table and in several commits."""
    store = Store.create(folder / "store")
    title = f"the first title of {rng.random()}"
    for titles in ([title, "two"], ["the title now", "two"]):
        store.append_items(pl.DataFrame({"item_id": [number, number + 11], "title": titles}))
    cache = VectorCache(folder / "store" / VECTORS_FOLDER, Stand.fingerprint, DIM)
    cache.fill([title, "the title now", "two"], Stand(folder / "noted"))
    (folder / "earlier").write_text(title)
    for commit in range(4):
        who = [number, number + 7 + commit]
        rows = {"user_id": who, "item_id": [number + 11, number], "timestamp": [10**9 + commit, 10**9 + 50 + commit]}
        store.append_events(pl.DataFrame(rows))
    shown = {"impression_id": ["a", "b"], "user_id": [number, number + 7], "item_id": [number + 11, number]}
    store.append_impressions(pl.DataFrame(shown | {"timestamp": [10**9] * 2, "label": [1, 0]}))
    for place in PLACES:
        row = {"user_id": number + 7, "item_id": number + 11, "timestamp": "yesterday"}
        text = f"{spelled};{number + 11};1,5" if place == "line" else spelled
        # As a reader of files may leave it: cells as text.
        frame = pl.DataFrame({name: [str(cell)] for name, cell in (row | {place: text}).items()})
        store.append_events(frame)
    if isinstance(spelled, int | float):
        frame = pl.DataFrame({"user_id": [spelled], "item_id": [spelled], "timestamp": ["never"]})
        store.append_events(frame)
    return store


def set_clock(folder: Path, ahead_s: int) -> None:
    """Makes all files as a writer would have left them whose clock is ahead by so many seconds."""
    stamp = re.compile(r'("(?:timestamp|modificationTime|deletionTimestamp|createdTime)":)(\d{13})')
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".json":
            path.write_text(stamp.sub(lambda found: f"{found[1]}{int(found[2]) + 1000 * ahead_s}", path.read_text()))
        if path.is_file():
            os.utime(path, (time.time() + ahead_s,) * 2)
    for path in folder.rglob(DIGESTS_FILE):
        path.unlink()  # the logs were edited


def leave_unfinished(folder: Path, number: int) -> None:
    """What writers leave that were killed just now: data without a commit, half a file, a log entry under way."""
    data = next((folder / "events").glob("*.parquet"))
    shutil.copy(data, folder / "events" / "part-00000-0b7c1d4e-killed-c000.snappy.parquet")
    (folder / "events" / "part-00000-77c2-killed-c000.snappy.parquet#1").write_bytes(data.read_bytes()[:-100])
    entry = {"add": {"path": "x", "stats": json.dumps({"minValues": {"user_id": number}})}}
    (folder / "events" / "_delta_log" / "_commit_5f0c.json.tmp").write_text(json.dumps(entry))


def traces(folder: Path, number: int) -> list[str]:
    """Files that hold the number in any of its spellings, in their bytes or in their unpacked cells."""
    forms = [str(spell(number)) for spell in SPELLINGS.values()]
    forms += [json.dumps(form)[1:-1] for form in forms] + [quote(form) for form in forms]
    whole = re.compile(rf"(?<![0-9])({'|'.join(re.escape(form.strip()) for form in sorted(set(forms)))})(?![0-9])")
    found = []
    for path in sorted(folder.rglob("*")):
        try:
            text = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
            if ".parquet" in path.name:
                text += json.dumps(pl.read_parquet(path, glob=False).to_dicts(), default=str, ensure_ascii=False)
        except (OSError, pl.exceptions.PolarsError):
            pass  # gone meanwhile, or half a file of a running writer
        if whole.search(text):
            found.append(path.relative_to(folder).as_posix())
    return found


def forget_one(folder: Path, what: str, spelling: str, clock: str, rng: random.Random) -> list[str]:
    """One round in a folder of its own: what is wrong."""
    number = rng.randrange(10**7, 10**8) | 1
    store = build(folder, number, SPELLINGS[spelling](number), rng)
    leave_unfinished(folder / "store", number)
    set_clock(folder / "store", CLOCKS[clock])
    others = store.events().filter((pl.col("user_id") != number) & (pl.col("item_id") != number)).height
    name = f"{what}, {spelling}, {clock}"
    # The id as the other of the two stays, so the other is forgotten as well before the search.
    try:
        for forget in (forget_user, forget_item) if what == "user" else (forget_item, forget_user):
            forget(Store.open(store.path), number)
    except Exception as error:  # broad on purpose: any error is a fault
        return [f"{name}: {error}"]
    faults = [f"{name}: {path} holds the id" for path in traces(folder / "store", number)]
    if store.events().height != others:
        faults.append(f"{name}: {store.events().height} rows of others, not {others}")
    cached = b"".join(path.read_bytes() for path in (folder / "store" / VECTORS_FOLDER).rglob("part-*"))
    if text_hash((folder / "earlier").read_text()) in cached or text_hash("the title now") in cached:
        faults.append(f"{name}: a vector of the item's text is left")
    if text_hash("two") not in cached:
        faults.append(f"{name}: the vector of another item's text is gone")
    return faults


def beside_writers(folder: Path, *, seconds: float, seed: int) -> Tally:
    """Forgets one user or item after the other while others write and read."""
    tally = Tally()
    store = Store.create(folder / "store")
    store.append_items(concurrency.items("0 0"))
    context = multiprocessing.get_context("forkserver")
    stop: Event = context.Event()
    jobs = [(concurrency.write, (store.path, n, seed + n, stop, folder / f"writer {n}")) for n in range(WRITERS)]
    # Even readers: those that read versions may find one erased, which is right.
    jobs += [(concurrency.read, (store.path, 2 * n, stop, folder / f"reader {n}")) for n in range(READERS)]
    processes = [context.Process(target=target, args=arguments) for target, arguments in jobs]
    for process in processes:
        process.start()
    concurrency.wait_for([arguments[-1] for _, arguments in jobs])
    rng = random.Random(seed)
    forgotten = []
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        number = rng.randrange(10**11, 10**12)
        name = str(number)
        try:
            rows = {"user_id": [name] * 5, "item_id": [f"item {row}" for row in range(5)], "timestamp": [10**9] * 5}
            store.append_events(pl.DataFrame(rows | {"session_id": ["-"] * 5}))
            bad = {"user_id": [f" {name}.0"], "item_id": ["item 1"], "timestamp": ["yesterday"]}
            store.append_events(pl.DataFrame(bad))
            forget_user(store, name)
        except Exception as error:  # broad on purpose: any error is a fault
            tally.faults.append(f"beside writers: {error}")
            break
        forgotten.append(number)
        tally.faults += [f"beside writers: {path} holds the id" for path in traces(folder / "store", number)]
    tally.forgotten_beside = len(forgotten)
    stop.set()
    for process in processes:
        process.join(timeout=300)
    tally.faults += [f"a process ended with {process.exitcode}" for process in processes if process.exitcode != 0]
    # A forgotten user's events are of one session, which a reader must not miss.
    output = [line for n in range(READERS) for line in (folder / f"reader {n}").read_text().splitlines()]
    tally.reads = sum(int(line.split()[1]) for line in output if line.startswith("read "))
    tally.faults += [line for line in output if not line.startswith(("read ", "- "))]
    noted = [line.split()[0] for n in range(WRITERS) for line in (folder / f"writer {n}").read_text().splitlines()]
    counts = dict(store.events()["session_id"].value_counts().iter_rows())
    tally.batches = len(noted)
    tally.faults += [f"batch {mark} has {counts.get(mark, 0)} rows" for mark in noted if counts.get(mark) != 20]
    for number in forgotten:
        tally.faults += [f"at the end: {path} holds the id" for path in traces(folder / "store", number)]
    return tally


def run(*, rounds: int, seconds: float, folder: Path, seed: int = 0) -> Tally:
    """Rounds over spellings and clocks in turn, then forgetting beside writers."""
    rng = random.Random(seed)
    combinations = [(what, spelling, clock) for spelling in SPELLINGS for clock in CLOCKS for what in ("user", "item")]
    rng.shuffle(combinations)
    faults: list[str] = []
    for number in range(rounds):
        own = folder / f"round {number}"
        own.mkdir()
        faults += forget_one(own, *combinations[number % len(combinations)], rng)
        shutil.rmtree(own)
    tally = beside_writers(folder, seconds=seconds, seed=seed) if seconds else Tally()
    tally.rounds = rounds
    tally.faults += faults
    return tally


def main(rounds: int, seconds: float, seed: int) -> int:
    """Prints the tally; 1 where an id was left or a call failed."""
    with tempfile.TemporaryDirectory() as folder:
        tally = run(rounds=rounds, seconds=seconds, folder=Path(folder), seed=seed)
    print(
        f"{tally.rounds} rounds over {len(SPELLINGS)} spellings and {len(CLOCKS)} clocks; beside {WRITERS} writers and "
        f"{READERS} readers {tally.forgotten_beside} forgotten, {tally.batches} batches, {tally.reads} reads; "
        f"{len(tally.faults)} faults"
    )
    print("\n".join(tally.faults[:20]))
    return int(bool(tally.faults))
