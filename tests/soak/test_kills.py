"""The short form of the kills; `make soak` is the long one, and docs/soak.md its last result."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from feature_store.atomic_files import ABANDONED_S, remove_abandoned
from tests.soak.kills import JOBS, run

pytestmark = pytest.mark.timeout(1200)
"""On a busy machine the many processes of a soak take their time; each job has a watchdog of its own."""


def test_nothing_is_lost_doubled_or_broken_by_kills(tmp_path: Path) -> None:
    tallies = run(rounds=12, trainings=1, seed=1, folder=tmp_path)
    assert {name: tally.faults for name, tally in tallies.items()} == {name: [] for name in JOBS}
    assert sum(tally.kills for tally in tallies.values()) == 13
    assert sum(tally.hit for tally in tallies.values()) > 3


def test_what_was_abandoned_is_cleared_and_what_is_at_work_stays(tmp_path: Path) -> None:
    long_ago = time.time() - ABANDONED_S - 60
    for name in ("old", "busy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").write_text("rows")
    (tmp_path / "file").write_text("rows")
    for path in (tmp_path / "old" / "part", tmp_path / "old", tmp_path / "busy", tmp_path / "file"):
        os.utime(path, (long_ago, long_ago))
    remove_abandoned(tmp_path.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["busy"]
