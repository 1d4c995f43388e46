"""Runs ingest, encode, score and train on a drive that is lost in the middle, and again once it is back.

    python -m tests.soak lost-drive --rounds 10              # as root, with fuse3: a mounted drive
    python -m tests.soak lost-drive --rounds 10 --preload    # anywhere with a C compiler: calls of libc that fail

The jobs are those of `tests.soak.kills`, behind the door that all commands have: the loss must be output in words, with
exit code 1, and leave nothing half-written on the drive; then the same call must succeed. Where the system itself ends
a process that reads a mapped file (SIGBUS) there are no words: that is counted apart, and everything else holds.
"""

from __future__ import annotations

import ctypes
import errno
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from recmem.cli.error_handling import REFUSED
from services import COMPILER
from tests.soak.drive import ENDS, mounted
from tests.soak.full_disk import run_guarded
from tests.soak.kills import JOBS, write_inputs

TRIALS = 2
"""Runs on a drive that stays, the last of which shows how many requests a job makes."""
LONGEST_S = 240.0
"""A job that takes longer hangs."""
_PRELOAD = "LD_PRELOAD"


@dataclass
class Tally:
    """What the rounds of one job found; `faults` must stay empty."""

    rounds: int = 0
    lost: int = 0
    """Rounds in which the drive was lost before the job was done."""
    mapped: int = 0
    """Of these, how many the system ended because what they read was mapped."""
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Ending:
    """How a job ended; an exit code of None: not within its time."""

    code: int | None
    output: str
    requests: int
    """Requests that the drive has served."""


class MountedDrive:
    """A drive that is mounted, and whose server goes away."""

    ends = tuple(ENDS)

    def __init__(self, folder: Path) -> None:
        self.backing, self._place, self._told = folder / "backing", folder / "drive", folder / "output.txt"
        self._place.mkdir()

    def run(self, name: str, number: int, end: str = "killed", after: int | None = None) -> Ending:
        """Runs a job on the drive, which is lost after so many requests."""
        with mounted(self.backing, self._place, end=end, after=after) as drive:
            code = _exit_code(run_guarded, name, self._place, number, self._told)
            return Ending(code, self._told.read_text(), drive.requests)


class PreloadedDrive:
    """A folder for which calls begin to fail; `lost_drive.c` must be loaded ahead of libc."""

    ends = ("ENOTCONN", "EIO", "ESTALE")

    def __init__(self, folder: Path) -> None:
        self.backing, self._told, self._asked = folder / "drive", folder / "output.txt", folder / "asked"

    def run(self, name: str, number: int, end: str = "EIO", after: int | None = None) -> Ending:
        """Runs a job in the folder, where calls fail after so many."""
        code = _exit_code(_watched, name, self.backing, number, self._told, self._asked, getattr(errno, end), after)
        return Ending(code, self._told.read_text(), int(self._asked.read_text()))


def _watched(name: str, folder: Path, number: int, output: Path, asked: Path, error: int, after: int | None) -> None:
    libc = ctypes.CDLL(None)
    libc.drive_watch(str(folder).encode(), ctypes.c_long(-1 if after is None else after), error)
    try:
        run_guarded(name, folder, number, output)
    finally:
        asked.write_text(str(libc.drive_asked()))


def _exit_code(work: Callable[..., None], *arguments: object) -> int | None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.soak.full_disk"])
    child = context.Process(target=work, args=arguments)
    child.start()
    child.join(LONGEST_S)
    code = child.exitcode
    child.kill()
    child.join()
    return code


def run(
    rounds: int, seed: int, drive: MountedDrive | PreloadedDrive, jobs: tuple[str, ...] = tuple(JOBS)
) -> dict[str, Tally]:
    """So many rounds of each job."""
    chance, tallies = random.Random(seed), {}
    drive.backing.mkdir()
    write_inputs(drive.backing)
    for name in jobs:
        tally, check, asks = tallies.setdefault(name, Tally()), JOBS[name][1], 0
        for number in range(TRIALS):
            ending = drive.run(name, number)
            asks = ending.requests
            tally.faults += _after(ending, name, check, drive.backing, number)
        for number in range(TRIALS, TRIALS + rounds):
            end, after = chance.choice(drive.ends), int(chance.uniform(0, asks))
            ending = drive.run(name, number, end, after)
            tally.rounds, tally.lost = tally.rounds + 1, tally.lost + (ending.code != 0)
            tally.mapped += ending.code == -signal.SIGBUS
            if ending.code not in (0, -signal.SIGBUS) and not _is_in_words(ending):
                tally.faults.append(f"{name}, {end} after {after} of {asks}: exit code {ending.code}, {ending.output}")
            tally.faults += check(drive.backing, number, done=False)
            tally.faults += _after(
                drive.run(name, number), f"{name}, back after {end} at {after}", check, drive.backing, number
            )
    return tallies


def _is_in_words(ending: Ending) -> bool:
    return ending.code == REFUSED and "Traceback" not in ending.output and ": expected " in ending.output


def _after(ending: Ending, what: str, check: Callable[..., list[str]], folder: Path, number: int) -> list[str]:
    """The faults of a run that nothing disturbed."""
    return check(folder, number, done=True) if ending.code == 0 else [f"{what}: {ending.code}, {ending.output}"]


def main(rounds: int, seed: int, jobs: tuple[str, ...], *, preload: bool) -> int:
    """Prints a line a job; 1 where anything was half-written or not output in words."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        if preload and _PRELOAD not in os.environ:
            again = [sys.executable, "-m", "tests.soak", *sys.argv[1:]]
            return subprocess.run(again, env=os.environ | {_PRELOAD: str(compiled(folder))}, check=False).returncode
        tallies = run(rounds, seed, PreloadedDrive(folder) if preload else MountedDrive(folder), jobs)
    for job, tally in tallies.items():
        counts = f"{tally.rounds} rounds, {tally.lost} lost, {tally.mapped} ended by SIGBUS"
        print(f"{job}: {counts}, {len(tally.faults)} faults", *tally.faults, sep="\n")
    return int(any(tally.faults for tally in tallies.values()))


def compiled(folder: Path) -> Path:
    """`lost_drive.c` as a library; FileNotFoundError where there is no compiler."""
    compiler, library = shutil.which("cc"), folder / "lost_drive.so"
    if compiler is None:
        raise FileNotFoundError(COMPILER)
    source = Path(__file__).with_suffix(".c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library
