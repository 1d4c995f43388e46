"""The scale of raw scores: a drift of a module's scores is taken back."""

from __future__ import annotations

import numpy as np

from recmem.matching.calibration import Calibration
from tolerances import close
from training.fitting.scale_line import ScaleLine

RAW = np.random.default_rng(0).normal(3, 2, 500).astype(np.float32)


def test_scores_that_drifted_by_a_factor_and_a_shift_are_back_on_the_scale() -> None:
    line = ScaleLine(0.5, 1.0)
    drifted = 3 * RAW - 7
    close(line.after(RAW, drifted).of(drifted), line.of(RAW), "float32")


def test_a_drift_leaves_calibrated_scores_as_they_were() -> None:
    of_chain = Calibration(0.4, -5.0)
    drifted = RAW + 4
    calibration = ScaleLine().after(RAW, drifted).calibration(of_chain)
    close(calibration.probability(drifted), of_chain.probability(RAW), "float32")


def test_scores_that_are_all_the_same_are_shifted_and_not_stretched() -> None:
    line = ScaleLine(2.0, 0.0).after(RAW, np.full(500, 9, np.float32))
    assert line.factor == 2.0
    close(line.of(np.array([9], np.float32)), np.array([2 * RAW.mean()]), "float32")


def test_without_pairs_the_line_stays() -> None:
    nothing = RAW[:0]
    assert ScaleLine(2.0, 1.0).after(nothing, nothing) == ScaleLine(2.0, 1.0)
