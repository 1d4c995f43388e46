from __future__ import annotations

import json
from pathlib import Path

import small_training
from training.steps.match import CURVE_POINTS, LOSS_CURVES, _means_of_runs, read_loss_curves


def test_long_curves_are_thinned_to_means_of_consecutive_steps() -> None:
    assert _means_of_runs([]) == []
    assert _means_of_runs([3.0, 1.0]) == [3.0, 1.0]
    losses = [float(step) for step in range(2 * CURVE_POINTS + 1)]
    thinned = _means_of_runs(losses)
    assert thinned[:2] == [0.5, 2.5]
    assert thinned[-1] == losses[-1]
    assert len(thinned) == CURVE_POINTS + 1


def test_both_fits_leave_a_loss_curve_that_falls() -> None:
    curves = read_loss_curves(small_training.trained() / "run" / "work" / "match")
    assert list(curves) == ["base", "final"]
    assert curves["base"][-1] < curves["base"][0]


def test_curves_are_read_from_the_steps_folder(tmp_path: Path) -> None:
    (tmp_path / LOSS_CURVES).write_text(json.dumps({"base": [2.0], "final": [1.0]}))
    assert read_loss_curves(tmp_path) == {"base": [2.0], "final": [1.0]}
