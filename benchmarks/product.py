"""What a user runs, on a GPU beside the CPU: train, recommend, score a file, load."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq

import recmem
from benchmarks.command import Done, run_command
from benchmarks.peak_memory import write_candidates
from benchmarks.scale import step_seconds
from benchmarks.timing import Row, compare
from recmem.batch.workers import usable_cores

SAMPLE = Path(__file__).parents[1] / "examples" / "debian_dependencies"
RUNS = Path("runs/gpu_benchmark")
"""The trainings that are timed; each is repeated from nothing."""
FROZEN = "encoder frozen"
NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}
TRAININGS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    FROZEN: (("--tune-encoder", "off"), {}),
    "encoder frozen, without the GPU": (("--tune-encoder", "off"), NO_GPU),
    "defaults: the encoder is tuned": ((), {}),
}
"""Options and environment by what is timed."""
N_USERS = 500
FEW_ROWS = 2_000
MANY_ROWS = 20_000_000


def trained_bundle() -> Path:
    """The bundle of the first training."""
    return RUNS / FROZEN.replace(" ", "_") / "bundle"


def training_rows() -> Iterator[list[Row]]:
    """`recmem train` of the sample in each way, and its steps as MLflow has timed them."""
    whole: list[float] = []
    for way, (options, environment) in TRAININGS.items():
        out = RUNS / way.replace(" ", "_").replace(",", "").replace(":", "")
        shutil.rmtree(out, ignore_errors=True)
        files = ["--items", str(SAMPLE / "items.parquet"), "--events", str(SAMPLE / "events.parquet")]
        done = run_command(["train", *files, "--out", str(out), *options], environment)
        whole.append(done.seconds)
        what = f"recmem train, {way}"
        rows = [Row(what, SAMPLE.name, "whole", done.seconds, "s", done.seconds / whole[0], _peak(done))]
        steps = step_seconds(out).items()
        rows += [Row(what, SAMPLE.name, f"step {step}", taken, "s", taken / done.seconds) for step, taken in steps]
        yield rows


def user_rows(bundle: Path, device: str = "cuda") -> Iterator[list[Row]]:
    """Recommendations for some users, and loading the model in a process that has loaded it before."""
    models = {way: recmem.load(bundle, device=name) for way, name in _devices(device).items()}
    random = np.random.default_rng(0)
    users = random.choice(models["on the CPU"].dataset.users.to_numpy(), N_USERS).tolist()
    tables = [model.recommend(users).sort("user_id", "rank", "item_id") for model in models.values()]
    rows = compare(
        "recommend",
        f"{bundle.parent.name}: {N_USERS} users, the best 10",
        {way: partial(model.recommend, users) for way, model in models.items()},
        amount=N_USERS,
        unit="users/s",
        rounds=3,
    )
    n_same = int((tables[0]["item_id"] == tables[1]["item_id"]).sum())
    yield [*rows[:-1], replace(rows[-1], note=f"{n_same:,} of {len(tables[0]):,} items as on the CPU")]
    loads = {way: partial(recmem.load, bundle, device=name) for way, name in _devices(device).items()}
    rows = compare("recmem.load", bundle.parent.name, loads, amount=1, unit="loads/s", rounds=3)
    yield [replace(row, note=f"{1 / row.rate:.2f} s a load") for row in rows]


def file_rows(bundle: Path, device: str = "cuda") -> Iterator[list[Row]]:
    """`recmem score` of a small and of a large file: when the first rows are there, and the rate from then on."""
    n_workers = max(usable_cores(), 2)
    ways = {
        "without a GPU, one process": ["--device", "cpu", "--workers", "1"],
        f"without a GPU, {n_workers} workers": ["--device", "cpu", "--workers", str(n_workers)],
        "on the device": ["--device", device, "--workers", "1"],
    }
    model = recmem.load(bundle, device="cpu")
    with TemporaryDirectory() as folder:
        few, many = Path(folder) / "few.parquet", Path(folder) / "many.parquet"
        write_candidates(model, few, FEW_ROWS)
        write_candidates(model, many, MANY_ROWS)
        del model
        first: list[Row] = []
        for way, options in ways.items():
            start = _scored(bundle, few, FEW_ROWS, options)
            done = _scored(bundle, many, MANY_ROWS, options)
            rate = (MANY_ROWS - FEW_ROWS) / (done.seconds - start.seconds)
            note = f"{done.seconds:.1f} s in all, {_peak(done)} in a process"
            name = bundle.parent.name
            rows = [
                Row("recmem score", f"{name}: {FEW_ROWS:,} rows, whole process", way, start.seconds, "s", 1.0),
                Row("recmem score", f"{name}: {MANY_ROWS:,} rows, after the start", way, rate, "rows/s", 1.0, note),
            ]
            first = first or rows
            yield [replace(row, ratio=row.rate / base.rate) for row, base in zip(rows, first, strict=True)]


def _scored(bundle: Path, candidates: Path, n_rows: int, options: list[str]) -> Done:
    out = candidates.with_name("scores.parquet")
    command = ["score", "--model", str(bundle), "--candidates", str(candidates), "--out", str(out)]
    done = run_command([*command, *options])
    n_written = pq.read_metadata(out).num_rows
    if n_written != n_rows:
        raise RuntimeError(f"recmem score: expected {n_rows} rows, got {n_written}.")
    return done


def _devices(device: str) -> dict[str, str]:
    return {"on the CPU": "cpu", "on the device": device}


def _peak(done: Done) -> str:
    return f"peak {done.peak_bytes / 1e9:.2f} GB"
