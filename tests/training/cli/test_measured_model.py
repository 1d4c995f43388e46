"""What `recmem cascade` and `recmem staleness` measure if the model was refitted on all that the store holds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import small_training
from changed_bundles import rewrite
from command_line import DONE, REFUSED, Outcome
from recmem.serving.bundle import read_config

COMMANDS = ("cascade", "staleness")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A training's bundles, to be changed."""
    for name in ("bundle", "measured_bundle"):
        shutil.copytree(small_training.trained() / "run" / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_measured_bundle_beside_a_refitted_one_is_taken_and_named(command: str, run: Path) -> None:
    outcome = Outcome(command, "--model", run / "bundle", "--queries", 8)
    assert outcome.code == DONE
    assert "8 queries after" in outcome.out
    assert "has learned from the whole log" in outcome.err
    assert "measured_bundle" in outcome.err
    same = Outcome(command, "--model", run / "measured_bundle", "--queries", 8)
    assert same.err.count("whole log") == 0
    assert same.out.splitlines()[0] == outcome.out.splitlines()[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_refitted_bundle_alone_is_refused_and_says_what_to_give(command: str, run: Path) -> None:
    shutil.rmtree(run / "measured_bundle")
    outcome = Outcome(command, "--model", run / "bundle")
    assert outcome.code == REFUSED
    assert "events.timestamp: expected queries after" in outcome.err
    assert "OUT/measured_bundle" in outcome.err


def test_a_measured_bundle_of_another_training_is_not_taken(run: Path) -> None:
    rewrite(run / "measured_bundle", lambda manifest: manifest["config"].update(created="2020-01-01T00:00:00+00:00"))
    assert read_config(run / "measured_bundle").created.startswith("2020")
    assert Outcome("cascade", "--model", run / "bundle").code == REFUSED
