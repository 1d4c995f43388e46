"""Fitting of the calibration: known odds are found, the order is kept, degenerate data give finite numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recmem.matching.calibration import Calibration
from tolerances import close
from training.fitting.fit_calibration import fit_calibration


def test_fit_finds_the_odds_that_the_labels_were_drawn_with() -> None:
    random = np.random.default_rng(0)
    raw = random.normal(3, 5, 200_000).astype(np.float32)
    labels = (random.random(len(raw)) < 1 / (1 + np.exp(-(0.4 * raw - 2)))).astype(np.int8)
    fitted = fit_calibration(raw, labels)
    # Three standard errors of a fit to so many labels.
    assert abs(fitted.slope - 0.4) < 0.02
    assert abs(fitted.intercept + 2) < 0.06


def test_mean_probability_is_the_share_of_positives() -> None:
    random = np.random.default_rng(1)
    raw = random.normal(0, 8, 5000).astype(np.float32)
    labels = (raw + random.normal(0, 8, 5000) > 12).astype(np.int8)
    mean = float(fit_calibration(raw, labels).probability(raw).astype(np.float64).mean())
    # Platt's targets move the share by at most one pseudo-observation of each kind.
    assert abs(mean - labels.mean()) < 2 / 5000


def test_scores_that_fall_with_the_label_get_slope_zero() -> None:
    raw = np.linspace(-1, 1, 100, dtype=np.float32)
    fitted = fit_calibration(raw, (raw < 0).astype(np.int8))
    assert fitted.slope == 0
    close(fitted.probability(raw), 0.5, "float32")


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1]])
@pytest.mark.parametrize("raw", [[1, 2, 3, 4], [5, 5, 5, 5], [-1e6, 0, 0, 1e6]])
def test_one_class_and_tied_scores_give_finite_numbers(raw: list[float], labels: list[int]) -> None:
    scores = np.array(raw, np.float32)
    probability = fit_calibration(scores, np.array(labels, np.int8)).probability(scores)
    assert np.isfinite(probability).all()
    assert ((probability > 0) & (probability < 1)).any()


def test_no_pairs_give_even_odds() -> None:
    assert fit_calibration(np.empty(0, np.float32), np.empty(0, np.int8)) == Calibration(0.0, 0.0)


@given(st.lists(st.tuples(st.floats(-50, 50, width=32), st.integers(0, 1)), min_size=1, max_size=40))
def test_probabilities_never_fall_with_the_raw_score(pairs: list[tuple[float, int]]) -> None:
    raw = np.array([score for score, _ in pairs], np.float32)
    labels = np.array([label for _, label in pairs], np.int8)
    probability = fit_calibration(raw, labels).probability(np.sort(raw))
    assert (np.diff(probability) >= 0).all()


def test_shifting_and_scaling_the_raw_scores_leaves_the_probabilities() -> None:
    random = np.random.default_rng(2)
    raw = random.normal(0, 1, 500).astype(np.float32)
    labels = (raw + random.normal(0, 1, 500) > 1).astype(np.int8)
    moved = (raw * 16 + 8).astype(np.float32)
    close(fit_calibration(moved, labels).probability(moved), fit_calibration(raw, labels).probability(raw), "float32")
