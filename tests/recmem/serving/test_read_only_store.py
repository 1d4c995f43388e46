"""A store in a folder without write permission is loaded, scored with and audited."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import small_training
from recmem.serving.manifest import MANIFEST

_SCRIPT = """
import sys
from pathlib import Path
from recmem.cli import main
sys.argv = ["recmem", *sys.argv[1:]]
main()
"""


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """A run in a folder that nobody but root may write to."""
    run = tmp_path / "run"
    shutil.copytree(small_training.trained() / "run" / "bundle", run / "bundle")
    shutil.copytree(small_training.trained() / "store", run / "store")
    for path in [run, *run.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return run
