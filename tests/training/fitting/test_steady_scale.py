"""The champion's scale is kept while it is true, and renewed once the newest labels contradict it."""

from __future__ import annotations

import numpy as np
from scipy.stats import ks_2samp

from feature_store.arrays import Float32Array, Float64Array
from recmem.matching.calibration import Calibration
from tolerances import close
from training.fitting.steady_scale import TOLERANCE, aligned, steady_scale

CHAMPION = Calibration(1.2, -4.0)
MANY = 1_000_000


def scores(n: int = 20_000, *, seed: int = 0) -> Float64Array:
    return np.random.default_rng(seed).normal(size=n)


def log_odds(values: Float64Array) -> Float64Array:
    return CHAMPION.slope * values + CHAMPION.intercept


def drifted(values: Float64Array) -> Float32Array:
    """The scores of a module that has drifted: another mean, another spread, and a little disorder."""
    noise = np.random.default_rng(9).normal(size=len(values))
    return (3.0 * (values + 0.1 * noise) + 7.0).astype(np.float32)


def test_pairs_keep_the_distribution_of_their_match_scores_when_the_module_drifts() -> None:
    values = scores()
    line = aligned(drifted(values), log_odds(values))
    assert line is not None
    others = scores(seed=1)
    before = CHAMPION.probability(others.astype(np.float32))
    after = line.probability(drifted(others))
    assert ks_2samp(before, after).statistic < 0.01


def test_the_order_of_scores_stays() -> None:
    values = scores(500)
    raw = drifted(values)
    line = aligned(raw, log_odds(values))
    assert line is not None
    assert line.slope > 0
    assert np.array_equal(np.argsort(raw, kind="stable"), np.argsort(line.slope * raw + line.intercept, kind="stable"))


def test_a_line_is_found_exactly() -> None:
    values = scores(500)
    line = aligned((2 * values + 1).astype(np.float32), log_odds(values))
    assert line is not None
    close([line.slope, line.intercept], [0.6, -4.6], "float32")


def test_a_true_scale_is_kept_and_a_false_one_renewed() -> None:
    values = scores()
    raw = drifted(values)
    line = aligned(raw, log_odds(values))
    assert line is not None
    near = Calibration(line.slope, line.intercept + 0.8 * np.log(TOLERANCE))
    far = Calibration(line.slope, line.intercept + 1.5 * np.log(TOLERANCE))
    kept = steady_scale(raw, near, log_odds(values), version="3", n_positives=MANY)
    renewed = steady_scale(raw, far, log_odds(values), version="3", n_positives=MANY)
    assert (kept.kind, kept.calibration) == ("kept", line)
    assert (renewed.kind, renewed.calibration) == ("renewed", far)
    assert renewed.ratio is not None
    assert renewed.ratio < 1 / TOLERANCE
    assert "version 3" in renewed.reason
    assert "cannot be compared" in renewed.reason


def test_a_scale_that_tells_too_little_is_renewed() -> None:
    values = scores()
    raw = drifted(values)
    line = aligned(raw, log_odds(values))
    assert line is not None
    # Twice as steep around the mean: the average stays about the same.
    steep = Calibration(2 * line.slope, line.intercept - line.slope * float(raw.mean()))
    found = steady_scale(raw, steep, log_odds(values), version="3", n_positives=MANY)
    assert found.kind == "renewed"
    assert found.steepness is not None
    assert found.steepness < 1 / TOLERANCE


def test_few_labels_do_not_renew_a_scale() -> None:
    values = scores()
    raw = drifted(values)
    line = aligned(raw, log_odds(values))
    assert line is not None
    far = Calibration(line.slope, line.intercept + 1.5 * np.log(TOLERANCE))
    assert steady_scale(raw, far, log_odds(values), version="3", n_positives=100).kind == "kept"


def test_scores_that_do_not_vary_have_no_scale_to_keep() -> None:
    values = scores(100)
    constant = np.ones(100, np.float32)
    fitted = Calibration(0.0, -3.0)
    assert aligned(constant, log_odds(values)) is None
    assert steady_scale(constant, fitted, log_odds(values), version="1", n_positives=9).calibration == fitted
