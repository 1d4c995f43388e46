"""Flips single bits in the files of a small store: each is found, in words, or changes nothing that is read.

    python -m tests.soak bit-flips --flips 400

A store of several commits: items that were updated, events, impressions, rejected rows, a checkpoint, text vectors. A
round copies it, flips one bit at a random place of a random file, and reads everything as a new process would. Then the
audit of the files is asked. `--without-digests` removes the digests first, to see what they are good for.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import torch

from feature_store import DataError, Store
from feature_store.noted_digests import DIGESTS_FILE
from recmem.audit.store_files import check_files
from recmem.text.vector_cache import VECTORS_FOLDER, VectorCache
from tests.soak.kills import DIM, Stand

TEXTS = [f"text {number}" for number in range(200)]
N_COMMITS_TO_CHECKPOINT = 101

Content = dict[str, pl.DataFrame | torch.Tensor]


@dataclass
class Tally:
    """What became of the flips; `silent` and `faults` must stay empty."""

    found: int = 0
    """Reading was refused in words."""
    harmless: int = 0
    """Everything that was read is as before."""
    audited: int = 0
    """Of the harmless ones, those that the audit of the files names: older versions, and such."""
    silent: list[str] = field(default_factory=list)
    """Something else was read, without a word."""
    faults: list[str] = field(default_factory=list)
    """Errors that are not in words, or a panic on stderr."""
    files: Counter[str] = field(default_factory=Counter)


def build(folder: Path) -> Path:
    """A store with something of everything."""
    store = Store.create(folder / "store")
    ids = [f"item {number}" for number in range(60)]
    store.append_items(pl.DataFrame({"item_id": ids, "title": [f"title of {name}" for name in ids]}))
    store.append_items(pl.DataFrame({"item_id": ids[:5], "title": ["new"] * 5, "pages": [1, 2, 3, 4, 5]}))
    for number in range(N_COMMITS_TO_CHECKPOINT + 3):
        n_rows = 200 if number % 10 == 0 else 2
        times = [10**9 + 1000 * number + row for row in range(n_rows)]
        users = [f"user {row % 17}" for row in range(n_rows)]
        rows = {"user_id": users, "item_id": [ids[row % 60] for row in range(n_rows)], "timestamp": times}
        store.append_events(pl.DataFrame(rows | {"value": [float(row) for row in range(n_rows)]}))
    shown = {"impression_id": ["a"] * 60, "user_id": ["user 1"] * 60, "timestamp": [10**9] * 60, "item_id": ids}
    store.append_impressions(pl.DataFrame(shown | {"label": [1] + [0] * 59}))
    store.append_events(pl.DataFrame({"user_id": ["user 1"], "item_id": ["item 1"], "timestamp": ["yesterday"]}))
    VectorCache(folder / "store" / VECTORS_FOLDER, Stand.fingerprint, DIM).fill(TEXTS, Stand(folder / "noted"))
    return folder / "store"


def read(path: Path, noted: Path) -> Content:
    """Everything that recmem reads of a store, in an order of its own."""
    store = Store.open(path)
    tables = {"items": store.items(), "events": store.events(), "impressions": store.impressions()}
    cache = VectorCache(path / VECTORS_FOLDER, Stand.fingerprint, DIM)
    vectors = cache.get_or_encode(TEXTS, Stand(noted))
    return {name: rows.sort(pl.all()) for name, rows in (tables | {"rejected": store.rejected()}).items()} | {
        "vectors": vectors
    }


def is_equal(found: Content, wanted: Content) -> bool:
    """Whether all rows and vectors are the same."""
    for name, content in wanted.items():
        other = found[name]
        if isinstance(content, torch.Tensor):
            same = isinstance(other, torch.Tensor) and torch.equal(content, other)
        else:
            same = isinstance(other, pl.DataFrame) and content.equals(other)
        if not same:
            return False
    return True


def flip(path: Path, rng: random.Random) -> None:
    """Flips one bit of the file."""
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def run(*, flips: int, folder: Path, seed: int = 0, without_digests: bool = False) -> Tally:
    """Flips bits, each in a copy of its own."""
    rng = random.Random(seed)
    original = build(folder)
    if without_digests:
        for path in original.rglob(DIGESTS_FILE):
            path.unlink()
    wanted = read(original, folder / "noted")
    files = sorted(path.relative_to(original) for path in original.rglob("*") if path.is_file())
    # As often in data as in the log, and in large files more often than in small ones.
    weights = [1.0 + (original / name).stat().st_size / 500 for name in files]
    tally = Tally()
    for number in range(flips):
        (name,) = rng.choices(files, weights)
        copy = folder / f"copy-{number}"
        shutil.copytree(original, copy)
        flip(copy / name, rng)
        tally.files[_kind(name)] += 1
        with _Stderr(folder / "stderr") as printed:
            _judge(tally, f"{number}: {name}", copy, wanted, folder / "noted")
        if "panicked" in printed.read_text(errors="replace"):
            tally.faults.append(f"{number}: {name}: a panic on stderr")
        shutil.rmtree(copy)
    return tally


def _judge(tally: Tally, name: str, copy: Path, wanted: Content, noted: Path) -> None:
    try:
        is_same = is_equal(read(copy, noted), wanted)
    except (DataError, ValueError) as error:
        if ": expected " not in str(error):
            tally.faults.append(f"{name}: {error!r}")
        tally.found += 1
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        tally.faults.append(f"{name}: {error!r}")
    else:
        if is_same:
            tally.harmless += 1
            found = check_files(Store.open(copy))
            tally.audited += not found.is_as_written or found.n_damaged_notes > 0
        else:
            tally.silent.append(name)


class _Stderr:
    """Sends the process's stderr to a file, that of its libraries too."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Path:
        self._kept = os.dup(2)
        with self._path.open("w") as file:
            os.dup2(file.fileno(), 2)
        return self._path

    def __exit__(self, *_: object) -> None:
        os.dup2(self._kept, 2)
        os.close(self._kept)


def _kind(name: Path) -> str:
    if name.name == DIGESTS_FILE:
        return "digests"
    if name.parts[0] == VECTORS_FOLDER:
        return "vectors"
    if "_delta_log" in name.parts:
        return "checkpoint" if "checkpoint" in name.name else "log"
    return "data"


def main(flips: int, seed: int, *, without_digests: bool) -> int:
    """Prints the tally; 1 where a flip went unnoticed."""
    with tempfile.TemporaryDirectory() as folder:
        tally = run(flips=flips, folder=Path(folder), seed=seed, without_digests=without_digests)
    print(
        f"{flips} flips: {tally.found} refused in words, {tally.harmless} harmless ({tally.audited} of them named by "
        f"the audit), {len(tally.silent)} silent, {len(tally.faults)} faults; {dict(tally.files)}"
    )
    print("\n".join([*tally.silent[:20], *tally.faults[:20]]))
    return int(bool(tally.silent or tally.faults))
