from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("numba")

ANYWHERE = "from feature_store.numba_cache import compiled; print(compiled(nogil=True)(eval('lambda a: a + 1'))(41))"
"""A function without a file: numba has no place to cache it."""


def test_a_function_that_cannot_be_cached_is_compiled_without_a_cache() -> None:
    done = subprocess.run([sys.executable, "-c", ANYWHERE], capture_output=True, text=True, check=True)
    assert done.stdout == "42\n"
