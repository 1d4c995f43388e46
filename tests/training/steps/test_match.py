from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import small_training
from recmem.serving.bundle import load_bundle
from training.config import TrainingConfig
from training.run import member_file
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


def test_every_member_of_both_fits_is_left_and_no_two_are_alike() -> None:
    folder = small_training.trained() / "run" / "work" / "match"
    n_members = TrainingConfig().members
    assert n_members == 3
    names = [member_file(fit, member) for fit in ("base", "final") for member in range(n_members)]
    assert sorted(path.name for path in folder.glob("*.safetensors")) == sorted(names)
    for fit in ("base", "final"):
        queries = [load_file(folder / member_file(fit, member))["query"] for member in range(n_members)]
        for other in queries[1:]:
            assert not torch.allclose(queries[0], other, atol=1e-3)


def test_the_bundle_has_the_heads_of_all_members() -> None:
    run = small_training.trained() / "run"
    shipped = load_bundle(run / "measured_bundle").config.match
    assert load_bundle(run / "bundle").config.match == shipped
    assert shipped.n_heads == TrainingConfig().members * TrainingConfig().n_heads
    member = load_file(run / "work" / "match" / member_file("final", 0))
    weights = load_file(run / "measured_bundle" / "match.safetensors")
    width = len(member["query"])
    assert np.array_equal(weights["query"][:width].numpy(), member["query"].numpy())
    assert np.array_equal(weights["key"][:width].numpy(), member["key"].numpy())


def test_fewer_than_one_member_is_refused() -> None:
    with pytest.raises(ValueError, match="members: expected at least 1, got 0"):
        TrainingConfig(members=0)
