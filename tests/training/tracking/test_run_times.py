from __future__ import annotations

from pathlib import Path

from training.tracking.run_times import seconds_so_far
from training.tracking.tracker import Tracker


def test_a_run_counts_from_its_start(isolated_mlflow: object, tmp_path: Path) -> None:
    with Tracker.start(tmp_path) as tracker:
        first = seconds_so_far(tracker)
        later = seconds_so_far(tracker)
    assert 0 < first <= later < 60
