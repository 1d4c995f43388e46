"""Kills ingest, encode and score at random instants, runs each again, and counts what was lost, doubled or broken.

    python -m tests.soak kills --rounds 200

A child is forked from a process that has imported what it needs, so that instants fall into the work and not into the
imports. Encoder and scorer are stand-ins that give each text and row a number of its own: what is tried is the writing.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import torch

from feature_store import Store
from recmem.streaming import CandidateFiles, score_file
from recmem.vectors import VectorCache

N_EVENTS, N_TEXTS, N_ROWS, DIM = 3_000, 400, 40_000, 8
TRIALS = 3
"""Uninterrupted runs that the length of the work is taken from."""


@dataclass
class Tally:
    """What the rounds found; all but `kills` and `hit` must stay 0."""

    kills: int = 0
    hit: int = 0
    """Kills that came before the work was done."""
    faults: list[str] = field(default_factory=list)


class Stand:
    """An encoder of hashes, which notes every text that it is asked for."""

    fingerprint, dim = "stand-in", DIM

    def __init__(self, noted: Path) -> None:
        self.noted = noted

    def encode(self, texts: Sequence[str], *, on_progress: Callable[[int], None] | None = None) -> torch.Tensor:
        with self.noted.open("a") as file:
            file.writelines(f"{text}\n" for text in texts)
        return torch.stack([vector_of(text) for text in texts])


def vector_of(text: str) -> torch.Tensor:
    """Eight numbers that float16 holds exactly."""
    return torch.tensor([byte / 256 for byte in hashlib.sha256(text.encode()).digest()[:DIM]])


def batch(number: int) -> pl.DataFrame:
    """Events that no other batch holds."""
    rows = range(number * N_EVENTS, (number + 1) * N_EVENTS)
    return pl.DataFrame(
        {
            "user_id": [f"u{row % 97}" for row in rows],
            "item_id": [f"i{row}" for row in rows],
            "timestamp": [10**9 + row for row in rows],
        }
    )


def ingest(folder: Path, number: int) -> None:
    """Appends batch `number`."""
    Store.open_or_create(folder / "store").append_events(batch(number))


def check_ingest(folder: Path, number: int, *, done: bool) -> list[str]:
    """Whole batches only; all of them once when done."""
    if not (folder / "store" / "rejected").exists():
        return ["ingest: no store"] if done else []
    found = Store.open_or_create(folder / "store").events()
    counts = (found["item_id"].str.slice(1).cast(pl.Int64) // N_EVENTS).value_counts()
    faults = [f"ingest: batch {n} has {count} rows" for n, count in counts.rows() if count != N_EVENTS]
    if found["item_id"].n_unique() != len(found):
        faults.append("ingest: an event twice")
    if done and len(found) != (number + 1) * N_EVENTS:
        faults.append(f"ingest: {len(found)} events after {number + 1} batches")
    return faults


def texts_of(number: int) -> list[str]:
    """Texts that no other round asks for."""
    return [f"text {number}-{place}" for place in range(N_TEXTS)]


def encode(folder: Path, number: int) -> None:
    """Encodes the texts of a round through the cache."""
    cache = VectorCache(folder / "vectors", Stand.fingerprint, DIM)
    cache.get_or_encode(texts_of(number), Stand(folder / f"noted-{number}"), flush_texts=40)


def check_encode(folder: Path, number: int, *, done: bool) -> list[str]:
    """What is cached is right; when done, all is, and only what a kill interrupted was encoded again."""
    cache = VectorCache(folder / "vectors", Stand.fingerprint, DIM)
    if not done:
        return [] if len(cache) % 40 == 0 else ["encode: a part of another length"]
    noted = folder / "unasked"
    vectors = cache.get_or_encode(texts_of(number), Stand(noted))
    faults = [] if torch.equal(vectors, torch.stack(list(map(vector_of, texts_of(number))))) else ["encode: wrong"]
    again = len((folder / f"noted-{number}").read_text().splitlines()) - N_TEXTS
    return faults + (["encode: not cached"] if noted.exists() else []) + (["encode: begun anew"] if again > 40 else [])


def score(folder: Path, number: int) -> None:
    """Scores the candidates into one and the same file."""
    source = CandidateFiles.open(folder / "candidates.parquet")
    shift = pl.lit(float(number))
    score_file(
        source, folder / "out.parquet", lambda rows: rows.with_columns(score=pl.col("n") + shift), chunk_rows=4000
    )


def check_score(folder: Path, number: int, *, done: bool) -> list[str]:
    """The file is absent, the last round's, or this one's; whole and in order."""
    out = folder / "out.parquet"
    if not out.exists():
        return ["score: no file"] if done else []
    found = pl.read_parquet(out)
    added = (found["score"] - found["n"]).unique().to_list()
    expected = [[float(number)]] if done else [[number], [number - 1]]
    right = found["n"].to_list() == list(range(N_ROWS)) and added in expected
    return [] if right else [f"score: {len(found)} rows, {added}"]


JOBS = {"ingest": (ingest, check_ingest), "encode": (encode, check_encode), "score": (score, check_score)}


def run(rounds: int, seed: int, folder: Path) -> dict[str, Tally]:
    """So many kills, shared out evenly."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.soak.kills"])
    chance = random.Random(seed)
    rows = pl.DataFrame({"user_id": [f"u{n % 501}" for n in range(N_ROWS)], "n": range(N_ROWS)})
    rows.with_columns(item_id=pl.col("n").cast(pl.String)).write_parquet(folder / "candidates.parquet")
    tallies = {}
    for name, (work, check) in JOBS.items():
        tally = tallies[name] = Tally()
        lengths = []
        for number in range(TRIALS):
            begin = time.monotonic()
            child = context.Process(target=work, args=(folder, number))
            child.start()
            child.join()
            lengths.append(time.monotonic() - begin)
            tally.faults += check(folder, number, done=True)
        for number in range(TRIALS, TRIALS + max(rounds // len(JOBS), 1)):
            child = context.Process(target=work, args=(folder, number))
            child.start()
            child.join(chance.uniform(0, sorted(lengths)[TRIALS // 2]))
            child.kill()
            child.join()
            tally.kills += 1
            tally.hit += child.exitcode != 0
            tally.faults += check(folder, number, done=False)
            work(folder, number)
            tally.faults += check(folder, number, done=True)
    return tallies


def main(rounds: int, seed: int) -> int:
    """Prints a line a job; 1 where anything was lost, doubled or broken."""
    with tempfile.TemporaryDirectory() as folder:
        tallies = run(rounds, seed, Path(folder))
    for name, tally in tallies.items():
        print(f"{name}: {tally.kills} kills, {tally.hit} in the work, {len(tally.faults)} faults", *tally.faults)
    return int(any(tally.faults for tally in tallies.values()))
