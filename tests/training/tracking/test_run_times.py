from __future__ import annotations

from pathlib import Path

from training.tracking.run_times import reused_steps, seconds_so_far
from training.tracking.tracker import Tracker


def run_steps(out: Path) -> tuple[tuple[str, ...], float]:
    with Tracker.start(out) as tracker:
        for name in ("rank", "match"):
            with tracker.step(name, f"key of {name}", out / f"{name}.txt") as step:
                (out / f"{name}.txt").write_text("the same")
                assert step.run_id
        with tracker.step("report", f"key {tracker.parent.run_id}", out / "report.txt"):
            (out / "report.txt").write_text("another")
        return reused_steps(tracker), seconds_so_far(tracker)


def test_steps_with_the_same_key_are_named_as_reused_in_their_order(isolated_mlflow: object, tmp_path: Path) -> None:
    first, _ = run_steps(tmp_path)
    second, seconds = run_steps(tmp_path)
    assert first == ()
    assert second == ("rank", "match")
    assert 0 < seconds < 60
