"""The kernels' exponential against float64."""

from __future__ import annotations

import numpy as np
import pytest

from recmem.kernels.match_reference import LOGIT_LIMIT

pytest.importorskip("numba", reason="pip install 'recmem[numba]'")
from recmem.kernels.exponential_numba import exp


def test_the_exponential_is_within_two_ulp_of_the_exact_one() -> None:
    for x in np.linspace(-LOGIT_LIMIT, LOGIT_LIMIT, 10_007).astype(np.float32):
        exact = np.exp(np.float64(x))
        assert abs(exp(x) - exact) <= 2 * np.spacing(np.float32(exact))


def test_the_exponential_of_zero_is_one() -> None:
    assert exp(np.float32(0)) == 1
