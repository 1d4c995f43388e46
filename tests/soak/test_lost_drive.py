"""The short form of the lost drives; `make soak` is the long one, and docs/soak.md its last result."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from services import FUSE, MOUNT, has_fuse
from tests.soak.lost_drive import MountedDrive, compiled, run

JOBS = ("ingest", "encode", "score")
"""A training takes too long for here."""
pytestmark = pytest.mark.timeout(1200)
"""On a busy machine the many processes of a soak take their time; each job has a watchdog of its own."""
ROOT = Path(__file__).parents[2]


def test_calls_that_fail_as_on_a_lost_drive_are_told_in_words_and_leave_nothing_half_written(tmp_path: Path) -> None:
    try:
        library = compiled(tmp_path)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    soak = [sys.executable, "-m", "tests.soak", "lost-drive", "--preload", "--rounds", "3", "--jobs", *JOBS]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": paths}
    done = subprocess.run(soak, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    output = re.findall(r"^(\w+): 3 rounds, (\d) lost, \d ended by SIGBUS, (\d+) faults$", done.stdout, re.MULTILINE)
    assert [(name, faults) for name, _, faults in output] == [(name, "0") for name in JOBS], done.stdout + done.stderr
    assert sum(int(lost) for _, lost, _ in output) > 4


def test_a_mounted_drive_that_is_lost_is_told_in_words_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    if not has_fuse():  # before mfusepy is imported: it raises where libfuse is missing
        pytest.skip(FUSE)
    pytest.importorskip("mfusepy", reason="mfusepy is missing: pip install 'recmem[dev]'")
    try:
        tallies = run(2, 3, MountedDrive(tmp_path), JOBS)
    except OSError as error:
        if str(error) != MOUNT:
            raise
        pytest.skip(MOUNT)
    assert {name: tally.faults for name, tally in tallies.items()} == {name: [] for name in JOBS}
    assert sum(tally.lost for tally in tallies.values()) > 2
