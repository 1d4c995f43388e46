from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("numba")

ANYWHERE = "from feature_store.numba_cache import compiled; print(compiled(nogil=True)(eval('lambda a: a + 1'))(41))"
"""A function without a file: there is no place to keep what is compiled of it."""


def test_what_cannot_be_kept_is_compiled_all_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", ANYWHERE], capture_output=True, text=True, check=True)
    assert done.stdout == "42\n"
