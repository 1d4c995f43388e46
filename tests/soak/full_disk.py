"""Runs ingest, encode, score and train on a disk that becomes full at random, and again once there is room.

    python -m tests.soak full-disk --rounds 40    # as root: it mounts a small file system in memory

The jobs are those of `tests.soak.kills`, behind the door that all commands have: what fails must be output in one form,
with exit code 1, and leave nothing half-written; then the same call must succeed.
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import typer

from recmem.cli.error_handling import REFUSED, GuardedCommand
from services import MOUNT
from tests.soak.kills import JOBS, write_inputs

DISK_MB = 512
TRIALS = 2
"""Runs with room, the last of which shows how much a job needs."""
MOST = 1.2
"""The room that a job is left is at most so many times what it needs."""


@dataclass
class Tally:
    """What the rounds of one job found; `faults` must stay empty."""

    rounds: int = 0
    full: int = 0
    """Rounds in which the disk became full."""
    faults: list[str] = field(default_factory=list)


def job(name: str, folder: Path, number: int) -> None:
    """One of the jobs, as a command."""
    JOBS[name][0](folder, number)


def run_guarded(name: str, folder: Path, number: int, output: Path) -> None:
    """The command, with what it says in a file; exits as it does."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command(cls=GuardedCommand)(job)
    with output.open("w") as sys.stderr:
        app([name, str(folder), str(number)])


def run(rounds: int, seed: int, disk: Path, beside: Path, jobs: tuple[str, ...] = tuple(JOBS)) -> dict[str, Tally]:
    """So many rounds of each job on `disk`; `beside` is a folder elsewhere, with room."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.soak.full_disk"])
    chance, output, ballast = random.Random(seed), beside / "output.txt", disk / "ballast"
    write_inputs(disk)

    def done(name: str, number: int) -> tuple[int | None, str]:
        child = context.Process(target=run_guarded, args=(name, disk, number, output))
        child.start()
        child.join()
        return child.exitcode, output.read_text()

    tallies = {}
    for name in jobs:
        tally, check, needs = tallies.setdefault(name, Tally()), JOBS[name][1], 0
        for number in range(TRIALS):
            needs = shutil.disk_usage(disk).free
            code, text = done(name, number)
            needs -= shutil.disk_usage(disk).free
            tally.faults += check(disk, number, done=True) if code == 0 else [f"{name}: {code}, {text}"]
        for number in range(TRIALS, TRIALS + rounds):
            _fill(ballast, shutil.disk_usage(disk).free - int(chance.uniform(0, MOST) * max(needs, 4096)))
            code, text = done(name, number)
            ballast.unlink()
            tally.rounds, tally.full = tally.rounds + 1, tally.full + (code != 0)
            if code != 0 and (code != REFUSED or "Traceback" in text or ": expected " not in text):
                tally.faults.append(f"{name}: exit code {code}, {text}")
            tally.faults += check(disk, number, done=False)
            code, text = done(name, number)
            tally.faults += check(disk, number, done=True) if code == 0 else [f"{name} with room: {code}, {text}"]
    return tallies


def _fill(ballast: Path, size: int) -> None:
    """Takes so much room."""
    with ballast.open("wb") as file:
        for begin in range(0, size, 1 << 20):
            file.write(bytes(min(1 << 20, size - begin)))


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of its own, in memory; OSError if this process may not mount one."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["-t", "tmpfs", "-o", f"size={DISK_MB}m", "recmem-full-disk", folder]
        mounted = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
        if mounted.returncode:
            raise OSError(f"{MOUNT}: {mounted.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def main(rounds: int, seed: int) -> int:
    """Prints a line a job; 1 where anything was half-written or not output in words."""
    with tempfile.TemporaryDirectory() as beside, small_disk() as disk:
        tallies = run(rounds, seed, disk, Path(beside))
    for name, tally in tallies.items():
        print(f"{name}: {tally.rounds} rounds, {tally.full} full, {len(tally.faults)} faults", *tally.faults, sep="\n")
    return int(any(tally.faults for tally in tallies.values()))
