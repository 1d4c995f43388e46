"""One training at a time in a folder: the second is refused in words, and a killed one leaves no lock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from feature_store import DataError
from training.run_lock import HOLDER, only_training_in

HOLD = """
import sys
from pathlib import Path
from training.run_lock import only_training_in
with only_training_in(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the folder until its stdin is closed."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_second_training_is_refused_with_the_holders_process_and_time(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        message = (
            rf"out: expected a folder that no other training writes to, got .* process {process.pid} on .* since 20"
        )
        with pytest.raises(DataError, match=message), only_training_in(tmp_path):
            pass
        process.communicate()
    with only_training_in(tmp_path):
        pass


def test_a_killed_training_leaves_no_lock(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
    assert (tmp_path / HOLDER).is_file()
    with only_training_in(tmp_path):
        pass
    assert not (tmp_path / HOLDER).exists()


def test_threads_of_one_process_are_kept_apart_too(tmp_path: Path) -> None:
    with (
        only_training_in(tmp_path),
        pytest.raises(DataError, match=f"process {os.getpid()} on"),
        only_training_in(tmp_path),
    ):
        pass


def test_folders_are_locked_one_by_one_and_a_failed_training_lets_go(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(KeyError), only_training_in(tmp_path), only_training_in(tmp_path / "other"):
        raise KeyError
    with only_training_in(tmp_path):
        pass
