"""Writers and readers on one store at once: every acknowledged batch is there once, and every read is a whole version.

    python -m tests.soak concurrency --seconds 60

A writer appends batches of events, each marked in all of its rows, and rewrites five items together, all to one number.
Now and then it repeats a batch of another writer. A reader must find every batch whole or not at all, none gone that
was there before, and the five items at one number, which never falls for what one writer wrote.
"""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Event
from pathlib import Path

import polars as pl

from feature_store import Store

BATCH, ITEMS = 20, 5
AHEAD_S = 60
"""Processes have this long to start."""


def batch(writer: int, number: int) -> pl.DataFrame:
    """Events that all bear the batch's mark."""
    mark = f"{writer}-{number}"
    rows = range(BATCH)
    return pl.DataFrame(
        {
            "user_id": [f"user {writer}"] * BATCH,
            "item_id": [f"item {row}" for row in rows],
            "timestamp": [10**9 + number] * BATCH,
            "session_id": [mark] * BATCH,
        }
    )


def items(mark: str) -> pl.DataFrame:
    """Five items with one and the same title."""
    return pl.DataFrame({"item_id": [f"item {row}" for row in range(ITEMS)], "title": [mark] * ITEMS})


def write(store: str, writer: int, seed: int, stop: Event, noted: Path) -> None:
    """Appends batches until it is stopped; notes each one after the store has acknowledged it."""
    rng, opened, number = random.Random(seed), Store.open(store), 0
    with noted.open("w") as file:
        while not stop.is_set():
            done = opened.append_events(batch(writer, number))
            file.write(f"{writer}-{number} {done.n_new}\n")
            file.flush()
            if rng.random() < 0.3:
                opened.append_items(items(f"{writer} {number}"))
            if rng.random() < 0.2:
                opened.append_events(batch(rng.randrange(4), rng.randrange(number + 1)))
            number += 1


def read(store: str, reader: int, stop: Event, noted: Path) -> None:
    """Reads until it is stopped; notes what is wrong, and at the end how often it read."""
    opened, before, n_reads = Store.open(store), set[str](), 0
    with noted.open("w") as file:
        while not stop.is_set():
            if reader % 2:
                version = opened.versions().get("events")
                events = opened.events(version)
                if version is not None and not events.equals(opened.events(version)):
                    file.write(f"version {version} of events is not the same twice\n")
            else:
                events = opened.events()
            counts = dict(events["session_id"].value_counts().iter_rows())
            broken = [f"{mark} has {n} rows\n" for mark, n in counts.items() if n != BATCH]
            gone = [f"{mark} is gone\n" for mark in before - counts.keys()]
            titles = opened.items()["title"].unique()
            mixed = [f"items of {titles.to_list()} at once\n"] if len(titles) > 1 else []
            file.writelines([*broken, *gone, *mixed])
            before, n_reads = set(counts), n_reads + 1
        file.write(f"read {n_reads} times\n")


def run(*, seconds: float, writers: int, readers: int, folder: Path, seed: int = 0) -> tuple[int, int, list[str]]:
    """Acknowledged batches, reads, and what was wrong."""
    store = Store.create(folder / "store")
    store.append_items(items("0 0"))
    context = multiprocessing.get_context("forkserver")
    stop = context.Event()
    jobs = [(write, (store.path, n, seed + n, stop, folder / f"writer {n}")) for n in range(writers)]
    jobs += [(read, (store.path, n, stop, folder / f"reader {n}")) for n in range(readers)]
    processes = [context.Process(target=target, args=arguments) for target, arguments in jobs]
    for process in processes:
        process.start()
    wait_for([arguments[-1] for _, arguments in jobs])
    time.sleep(seconds)
    stop.set()
    for process in processes:
        process.join(timeout=300)
    faults = [f"a process ended with {process.exitcode}" for process in processes if process.exitcode != 0]
    acknowledged = [line.split() for n in range(writers) for line in (folder / f"writer {n}").read_text().splitlines()]
    events = store.events()
    counts = dict(events["session_id"].value_counts().iter_rows())
    faults += [
        f"{mark} is there with {counts.get(mark, 0)} rows" for mark, _ in acknowledged if counts.get(mark) != BATCH
    ]
    faults += (
        ["rows are there twice"] if events.unique(["user_id", "item_id", "timestamp"]).height != events.height else []
    )
    output = [line for n in range(readers) for line in (folder / f"reader {n}").read_text().splitlines()]
    n_reads = sum(int(line.split()[1]) for line in output if line.startswith("read "))
    return len(acknowledged), n_reads, faults + [line for line in output if not line.startswith("read ")]


def main(seconds: float) -> int:
    """Prints the tally; 1 where anything was wrong."""
    with tempfile.TemporaryDirectory() as folder:
        n_batches, n_reads, faults = run(seconds=seconds, writers=4, readers=4, folder=Path(folder))
    print(f"4 writers and 4 readers for {seconds:g} s: {n_batches} batches, {n_reads} reads, {len(faults)} faults")
    print("\n".join(faults[:20]))
    return int(bool(faults))


def wait_for(files: Sequence[Path]) -> None:
    """Returns once every process has begun its notes."""
    begin = time.monotonic()
    while not all(file.exists() for file in files):
        if time.monotonic() - begin > AHEAD_S:
            raise TimeoutError("a process did not start")
        time.sleep(0.05)
