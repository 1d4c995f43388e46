"""The tests that CONTRIBUTING names for a GPU machine need no more than the packages that it names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ABSENT = (
    "deltalake",
    "faiss",
    "jinja2",
    "lightgbm",
    "llvmlite",
    "matplotlib",
    "mlflow",
    "numba",
    "pandas",
    "pyarrow",
    "redis",
    "rich",
    "sklearn",
    "tokenizers",
    "transformers",
    "typer",
)
"""What is not among them."""
BLOCK = f"import sys\nsys.modules |= dict.fromkeys({ABSENT!r})\n"


def test_the_kernels_tests_are_collected_without_the_whole_environment(tmp_path: Path) -> None:
    (tmp_path / "bare_machine.py").write_text(BLOCK)
    command = [sys.executable, "-m", "pytest", "-p", "bare_machine", "-p", "no:cacheprovider", "--collect-only", "-q"]
    done = subprocess.run(
        [*command, "-m", "gpu", "tests/recmem/kernels", "tests/recmem/matching"],
        cwd=ROOT,
        # Without CI, where what a machine lacks would be a failure.
        env=os.environ | {"CI": "", "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    collected = re.search(r"(\d+)/\d+ tests collected", done.stdout)
    assert collected is not None, done.stdout
    assert int(collected[1]) > 30
