"""Ingests at random instants of a training: that training is of one state of the store, and the next of the newest.

    python -m tests.soak ingest-during-training --rounds 20

Each round trains in a folder of its own while, at a random instant, others append events and items, with a new column.
The training's ledger must be that of the store either without the rows or with them, as its bundle says. A second
training in the same folder must leave what a clean one on all rows leaves: ledger and bundle. All of them find the
texts encoded: an encoder's last bits depend on which texts share a batch, and are not what is tried here.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import torch

from feature_store import Store
from recmem.text.vector_cache import VECTORS_FOLDER
from tests import small_training
from training.config import TrainingConfig
from training.fitting.fit_match import MatchTrainingConfig
from training.pipeline import run_training
from training.progress import Silent

OF_THE_PLACE = ("store", "store_versions")
"""What a bundle's configuration says of where it was trained; all else is learned."""


@dataclass
class Tally:
    """What the rounds found."""

    without: int = 0
    """Trainings that read the store before the rows came."""
    with_: int = 0
    """Trainings that read it with them."""
    faults: list[str] = field(default_factory=list)


def later_rows() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Items with a new column, and events after all others that change most figures."""
    item = pl.DataFrame({"item_id": ["libnew-dev"], "title": ["another sound library"], "stars": [7]})
    first = small_training.events()
    last = first["timestamp"].max()
    events = first.head(60).with_columns(timestamp=pl.lit(last).cast(first.schema["timestamp"]).dt.offset_by("40d"))
    return item, events.with_columns(item_id=pl.col("item_id").shuffle(seed=5))


def append_later_rows(store: Store) -> None:
    """What others ingest."""
    items, events = later_rows()
    store.append_items(items)
    store.append_events(events)


def train(folder: Path) -> None:
    """A training of few steps, in the folder and on its store."""
    torch.set_num_threads(1)
    config = TrainingConfig(match=MatchTrainingConfig(epochs=1.0, max_steps=6, min_steps=6))
    run_training(
        items=small_training.items(),
        events=small_training.events(),
        impressions=None,
        out=folder,
        store=None,
        config=config,
        progress=Silent(),
    )


def learned(folder: Path) -> dict[str, str]:
    """Digests of the ledger and of the bundle's parts."""
    digests = {"ledger": _digest((folder / "ledger.json").read_bytes())}
    for file in sorted((folder / "bundle").iterdir()):
        if file.name == "bundle.json":
            config = json.loads(file.read_text())["config"]
            content = json.dumps({name: value for name, value in config.items() if name not in OF_THE_PLACE}).encode()
        else:
            content = file.read_bytes()
        digests[file.name] = _digest(content)
    return digests


def rows_read(folder: Path) -> tuple[int, int]:
    """Items and events in the versions that the bundle says it was trained on."""
    config = json.loads((folder / "bundle" / "bundle.json").read_text())["config"]
    store = Store.open(folder / "store")
    versions = config["store_versions"]
    return store.items(versions["items"]).height, store.events(versions["events"]).height


def run(rounds: int, seed: int, folder: Path) -> Tally:
    """The references, then so many rounds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.soak.ingest_during_training"])
    chance = random.Random(seed)
    tally = Tally()

    def trained(place: Path) -> float:
        begin = time.monotonic()
        child = context.Process(target=train, args=(place,))
        child.start()
        child.join()
        if child.exitcode:
            tally.faults.append(f"{place.name}: the training ended with {child.exitcode}")
        return time.monotonic() - begin

    def with_vectors(place: Path) -> Path:
        shutil.copytree(folder / "clean with" / "store" / VECTORS_FOLDER, place / "store" / VECTORS_FOLDER)
        return place

    append_later_rows(Store.open_or_create(folder / "clean with" / "store"))
    trained(folder / "clean with")
    length = trained(with_vectors(folder / "clean without"))
    if tally.faults:
        return tally
    without, with_ = (learned(folder / name) for name in ("clean without", "clean with"))
    if without["ledger"] == with_["ledger"]:
        tally.faults.append("the later rows change nothing, so the rounds would prove nothing")
    n_without = rows_read(folder / "clean without")
    n_with = rows_read(folder / "clean with")
    expected = {n_without: without["ledger"], n_with: with_["ledger"]}
    for number in range(rounds):
        place = with_vectors(folder / f"round {number}")
        child = context.Process(target=train, args=(place,))
        child.start()
        instant = chance.uniform(0, length)
        child.join(instant)
        append_later_rows(Store.open_or_create(place / "store"))
        child.join()
        if child.exitcode:
            tally.faults.append(f"round {number}, {instant:.1f} s: the training ended with {child.exitcode}")
            continue
        n_read = rows_read(place)
        tally.without += n_read == n_without
        tally.with_ += n_read == n_with
        # The versions may also have been fixed between the two appends; no clean training has that ledger.
        if n_read in expected and learned(place)["ledger"] != expected[n_read]:
            tally.faults.append(f"round {number}, {instant:.1f} s: the ledger is not that of the bundle's versions")
        trained(place)
        if learned(place) != with_:
            changed = [name for name, digest in learned(place).items() if digest != with_[name]]
            tally.faults.append(f"round {number}, {instant:.1f} s: the next training differs in {', '.join(changed)}")
    return tally


def main(rounds: int, seed: int) -> int:
    """Prints the tally; 1 where anything was wrong."""
    with tempfile.TemporaryDirectory() as folder:
        tally = run(rounds, seed, Path(folder))
    print(
        f"{rounds} ingests during trainings: {tally.without} trainings read the store before, {tally.with_} after; "
        f"{len(tally.faults)} faults",
        *tally.faults,
        sep="\n",
    )
    return int(bool(tally.faults))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
