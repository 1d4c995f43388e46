"""The commands that errors name for a missing package: that pip takes them, also where recmem is on no index."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from feature_store.extras import install_command

ROOT = Path(__file__).parents[2]


def test_the_command_names_the_extra() -> None:
    assert install_command("redis") == "pip install 'recmem[redis]'"


def test_every_error_names_an_extra_of_the_project_and_has_the_command_from_here() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()
    sources = {
        path.relative_to(ROOT).as_posix(): path.read_text()
        for package in ("feature_store", "recmem", "training")
        for path in (ROOT / package).rglob("*.py")
    }
    named = {extra for text in sources.values() for extra in re.findall(r"install_command\(['\"](\w+)", text)}
    assert named
    assert named <= extras
    written_out = [path for path, text in sources.items() if "pip install 'recmem[" in text]
    assert written_out == ["feature_store/extras.py"]


def test_pip_takes_the_installed_recmem_without_an_index() -> None:
    try:
        distribution("recmem")
    except PackageNotFoundError:
        pytest.skip("recmem is not installed here")
    pytest.importorskip("numba")
    requirement = install_command("numba").split("'")[1]
    options = ["--dry-run", "--no-index", "--disable-pip-version-check"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, requirement], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
