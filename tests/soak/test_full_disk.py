"""The short form of the full disks; `make soak` is the long one, and docs/soak.md its last result."""

from __future__ import annotations

from pathlib import Path

import pytest

from services import MOUNT
from tests.soak.full_disk import run, small_disk

JOBS = ("ingest", "encode", "score")
"""A training takes too long for here."""
pytestmark = pytest.mark.timeout(1200)
"""On a busy machine the many processes of a soak take their time; each job has a watchdog of its own."""


def test_a_full_disk_is_told_in_words_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    try:
        with small_disk() as disk:
            tallies = run(2, 3, disk, tmp_path, JOBS)
    except OSError as error:
        if not str(error).startswith(MOUNT):
            raise
        pytest.skip(str(error))
    assert {name: tally.faults for name, tally in tallies.items()} == {name: [] for name in JOBS}
    assert sum(tally.full for tally in tallies.values()) > 2
