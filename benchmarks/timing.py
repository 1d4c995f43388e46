"""Times functions in turn, and writes the results as tables."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "torch triton numba transformers sentence-transformers lightgbm polars numpy faiss-cpu faiss-gpu faiss-gpu-cuvs "
    "redis feast"
)
ROUNDS = 7
"""How often each function is timed. They take turns, so that other load on the machine slows all of them alike."""


@dataclass(frozen=True)
class Row:
    """The rate of one way to do something."""

    what: str
    shape: str
    way: str
    rate: float
    unit: str
    ratio: float
    """Rate divided by that of the first way: what a user would write or pick instead."""
    note: str = ""


def compare(
    what: str, shape: str, ways: dict[str, Callable[[], object]], *, amount: float, unit: str, rounds: int = ROUNDS
) -> list[Row]:
    """A row per way: medians over rounds, after a warm-up each. Ratios are to the first way."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for function in ways.values():
        function()
    _wait()
    for _ in range(rounds):
        for way, function in ways.items():
            begin = time.perf_counter()
            function()
            _wait()
            seconds[way].append(time.perf_counter() - begin)
    rates = {way: amount / statistics.median(times) for way, times in seconds.items()}
    first = next(iter(rates.values()))
    return [Row(what, shape, way, rate, unit, rate / first) for way, rate in rates.items()]


def write(name: str, rows: list[Row], method: str) -> Path:
    """Writes the rows as JSON and Markdown under `results`, with hardware, versions and method. Returns the latter."""
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": hardware(),
        "python": platform.python_version(),
        "versions": {package: found for package in PACKAGES.split() if (found := _version(package))},
        "method": method,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(about | {"rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    lines = [f"# {name}", "", f"{about['date']}, {about['hardware']}, Python {about['python']}", ""]
    lines += [", ".join(f"{package} {found}" for package, found in about["versions"].items()), "", method, ""]
    lines += ["| what | shape | way | rate | ratio | note |", "|---|---|---|---|---|---|"]
    lines += map(_line, rows)
    path = RESULTS / f"{name}.md"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_as_measured(name: str, parts: Iterable[list[Row]], method: str) -> list[Row]:
    """Prints each part's rows as soon as they are measured, and writes the table anew: what is stopped has its rows.

    Returns all rows.
    """
    rows: list[Row] = []
    for part in parts:
        rows += part
        print("\n".join(map(_line, part)), flush=True)
        write(name, rows, method)
    return rows


def hardware() -> str:
    """Processor or GPU, and the cores that torch uses."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def _line(row: Row) -> str:
    rate = f"{_short(row.rate)}{row.unit}"
    return f"| {row.what} | {row.shape} | {row.way} | {rate} | {row.ratio:.2f} | {row.note} |"


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _short(rate: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if rate >= size:
            return f"{rate / size:.3g} {letter} "
    return f"{rate:.3g} "


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
