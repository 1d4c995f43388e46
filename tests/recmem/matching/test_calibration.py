"""Calibration of raw match scores: a sigmoid of a line, finite for every score, in the order of the raw scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recmem.matching.calibration import Calibration
from tolerances import close


def test_probability_is_the_sigmoid_of_a_line() -> None:
    raw = np.array([-2.0, 0.0, 3.0], np.float32)
    close(Calibration(0.5, -1.0).probability(raw), 1 / (1 + np.exp(-(0.5 * raw - 1))), "float32")


def test_probability_of_an_extreme_score_is_finite() -> None:
    assert Calibration(1.0, 0.0).probability(np.array([-1e30, 1e30], np.float32)).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("slope", [-0.1, float("nan"), float("inf")])
def test_a_falling_or_endless_slope_is_refused(slope: float) -> None:
    with pytest.raises(ValueError, match="slope >= 0"):
        Calibration(slope, 0.0)


@given(
    st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40),
    st.floats(0, 10, width=32),
    st.floats(-10, 10, width=32),
)
def test_probabilities_keep_the_order_of_the_raw_scores(raw: list[float], slope: float, intercept: float) -> None:
    probability = Calibration(slope, intercept).probability(np.sort(np.array(raw, np.float32)))
    assert (np.diff(probability) >= 0).all()
    assert ((probability >= 0) & (probability <= 1)).all()
