"""The short form of the killed tunings."""

from __future__ import annotations

from pathlib import Path

from tests.soak.tuning import KILLS, run


def test_a_killed_tuning_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    hit, faults = run(rounds=1, seed=0, folder=tmp_path)
    assert faults == []
    assert 0 < hit <= KILLS
