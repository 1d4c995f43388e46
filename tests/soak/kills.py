"""Kills ingest, encode, score and train at random instants, runs each again, and counts what was lost or broken.

    python -m tests.soak kills --rounds 200 --trainings 20

A child is forked from a process that has imported what it needs, so that instants fall into the work and not into the
imports. Encoder and scorer are stand-ins that give each text and row a number of its own: what is tried is the writing.
What is trained is a small training_data, with another seed each time, into one and the same folder.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import torch

from feature_store import REJECTED, Store
from recmem.batch.candidate_files import CandidateFiles
from recmem.batch.score_file import score_file
from recmem.serving.bundle import load_bundle
from recmem.text.vector_cache import VectorCache
from tests import small_training
from training.config import TrainingConfig
from training.fitting.fit_match import MatchTrainingConfig
from training.pipeline import run_training
from training.progress import Silent

N_EVENTS, N_TEXTS, N_ROWS, DIM = 3_000, 400, 40_000, 8
TRIALS = {"ingest": 3, "encode": 3, "score": 3, "train": 1}
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

    def encode_each(
        self, parts: Iterable[Sequence[str]], *, on_progress: Callable[[int], None] | None = None
    ) -> Generator[torch.Tensor, None, None]:
        for texts in parts:
            yield self.encode(texts, on_progress=on_progress)


def vector_of(text: str) -> torch.Tensor:
    """Eight numbers that float16 holds exactly."""
    return torch.tensor([byte / 256 for byte in hashlib.sha256(text.encode()).digest()[:DIM]])


def batch(number: int) -> pl.DataFrame:
    """Events that no other batch holds, one that is invalid, and the invalid one of the batch before, mended."""
    rows = range(number * N_EVENTS, (number + 1) * N_EVENTS)
    plain = {
        "user_id": [f"u{row % 97}" for row in rows],
        "item_id": [f"i{row}" for row in rows],
        "timestamp": [10**9 + row for row in rows],
    }
    special = {"user_id": "u", "item_id": "i", "timestamp": 10**9}
    bad = pl.DataFrame(special | {"event_id": f"bad {number}", "value": "x"})
    mended = pl.DataFrame(special | {"event_id": f"bad {number - 1}", "value": "1"})
    return pl.concat([pl.DataFrame(plain), bad, *([mended] if number else [])], how="diagonal")


def ingest(folder: Path, number: int) -> None:
    """Appends batch `number`."""
    Store.open_or_create(folder / "store").append_events(batch(number))


def check_ingest(folder: Path, number: int, *, done: bool) -> list[str]:
    """Whole batches only; all of them once when done."""
    if not (folder / "store" / "rejected").exists():
        return ["ingest: no store"] if done else []
    store = Store.open_or_create(folder / "store")
    events = store.events()
    mended = events.filter(pl.col("event_id").is_not_null())["event_id"].to_list()
    found = events.filter(pl.col("event_id").is_null())
    counts = (found["item_id"].str.slice(1).cast(pl.Int64) // N_EVENTS).value_counts()
    faults = [f"ingest: batch {n} has {count} rows" for n, count in counts.rows() if count != N_EVENTS]
    if found["item_id"].n_unique() != len(found):
        faults.append("ingest: an event twice")
    if done and len(found) != (number + 1) * N_EVENTS:
        faults.append(f"ingest: {len(found)} events after {number + 1} batches")
    refused = store.read(REJECTED)["row"].str.extract(r"(bad \d+)")
    if not {f"bad {n}" for n in range(number + done)} <= set(refused) or refused.n_unique() != len(refused):
        faults.append(f"ingest: {len(refused)} rejected rows after {number + done} batches")
    # A killed batch may have brought its mended row or not.
    wanted = {f"bad {n}" for n in range(number)}
    if not wanted - ({f"bad {number - 1}"} if not done else set()) <= set(mended) <= wanted:
        faults.append(f"ingest: {len(mended)} mended rows after {number + done} batches")
    if done and store.rejected()["row"].str.extract(r"(bad \d+)").to_list() != [f"bad {number}"]:
        faults.append(f"ingest: {len(store.rejected())} rows are open, of {len(refused)}")
    return faults


def texts_of(number: int) -> list[str]:
    """Texts that no other round asks for."""
    return [f"text {number}-{place}" for place in range(N_TEXTS)]


def encode(folder: Path, number: int) -> None:
    """Encodes the texts of a round through the cache."""
    cache = VectorCache(folder / "vectors", Stand.fingerprint, DIM)
    cache.get_or_encode(texts_of(number), Stand(folder / f"noted-{number}"), flush_texts=40)


def check_encode(folder: Path, number: int, *, done: bool) -> list[str]:
    """What is cached is right; when done, all is, and no more was encoded again than was under way: two parts."""
    cache = VectorCache(folder / "vectors", Stand.fingerprint, DIM)
    if not done:
        return [] if len(cache) % 40 == 0 else ["encode: a part of another length"]
    noted = folder / "unasked"
    vectors = cache.get_or_encode(texts_of(number), Stand(noted))
    faults = [] if torch.equal(vectors, torch.stack(list(map(vector_of, texts_of(number))))) else ["encode: wrong"]
    again = len((folder / f"noted-{number}").read_text().splitlines()) - N_TEXTS
    return faults + (["encode: not cached"] if noted.exists() else []) + (["encode: begun anew"] if again > 80 else [])


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


OUTPUTS = ("bundle", "measured_bundle", "ledger.json", "report.html")


def train(folder: Path, number: int) -> None:
    """Trains with seed `number`; the store and the vectors are those of the runs before."""
    torch.set_num_threads(1)
    config = TrainingConfig(seed=number, match=MatchTrainingConfig(epochs=1.0, max_steps=20, min_steps=5))
    items, events = (str(folder / f"{name}.parquet") for name in ("items", "events"))
    run_training(
        items=items, events=events, impressions=None, out=folder / "run", store=None, config=config, progress=Silent()
    )


def check_train(folder: Path, number: int, *, done: bool) -> list[str]:
    """Bundle, ledger and report: each whole, absent or as it was; never of one run beside those of another."""
    there = {name: _digest(folder / "run" / name) for name in OUTPUTS if (folder / "run" / name).exists()}
    before = json.loads(output.read_text()) if (output := folder / "before.json").exists() else {}
    faults = []
    for name in {"bundle", "measured_bundle"} & set(there):
        load_bundle(folder / "run" / name)
    if "ledger.json" in there:
        json.loads((folder / "run" / "ledger.json").read_text())
    if "report.html" in there and not (folder / "run" / "report.html").read_text().rstrip().endswith("</html>"):
        faults.append("train: half a report")
    is_old = {digest == before.get(name) for name, digest in there.items()}
    if len(is_old) > 1:
        faults.append(f"train: outputs of two runs: {there}, before: {before}")
    if done:
        faults += [f"train: no {name}" for name in OUTPUTS if name not in there]
        output.write_text(json.dumps(there))
        if len(Store.open(folder / "run" / "store").events()) != len(small_training.events()):
            faults.append("train: events lost or twice")
    return faults


def _digest(path: Path) -> str:
    """Of a file, or of all files of a folder with their names."""
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    return hashlib.sha256(b"".join(each.name.encode() + each.read_bytes() for each in files)).hexdigest()


JOBS = {
    "ingest": (ingest, check_ingest),
    "encode": (encode, check_encode),
    "score": (score, check_score),
    "train": (train, check_train),
}


def write_inputs(folder: Path) -> None:
    """What the jobs read."""
    rows = pl.DataFrame({"user_id": [f"u{n % 501}" for n in range(N_ROWS)], "n": range(N_ROWS)})
    rows.with_columns(item_id=pl.col("n").cast(pl.String)).write_parquet(folder / "candidates.parquet")
    small_training.write_tables(folder)


def run(rounds: int, trainings: int, seed: int, folder: Path) -> dict[str, Tally]:
    """So many kills, shared out evenly over the first three jobs, and so many of trainings."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.soak.kills"])
    chance = random.Random(seed)
    write_inputs(folder)
    kills = dict.fromkeys(JOBS, max(rounds // 3, 1)) | {"train": trainings}
    tallies = {}
    for name, (work, check) in JOBS.items():
        tally = tallies[name] = Tally()
        lengths = []
        for number in range(TRIALS[name]):
            begin = time.monotonic()
            child = context.Process(target=work, args=(folder, number))
            child.start()
            child.join()
            lengths.append(time.monotonic() - begin)
            tally.faults += check(folder, number, done=True)
        for number in range(TRIALS[name], TRIALS[name] + kills[name]):
            child = context.Process(target=work, args=(folder, number))
            child.start()
            child.join(chance.uniform(0, sorted(lengths)[len(lengths) // 2]))
            child.kill()
            child.join()
            tally.kills += 1
            tally.hit += child.exitcode != 0
            tally.faults += check(folder, number, done=False)
            work(folder, number)
            tally.faults += check(folder, number, done=True)
    return tallies


def main(rounds: int, trainings: int, seed: int) -> int:
    """Prints a line a job; 1 where anything was lost, doubled or broken."""
    with tempfile.TemporaryDirectory() as folder:
        tallies = run(rounds, trainings, seed, Path(folder))
    for name, tally in tallies.items():
        print(f"{name}: {tally.kills} kills, {tally.hit} in the work, {len(tally.faults)} faults", *tally.faults)
    return int(any(tally.faults for tally in tallies.values()))
