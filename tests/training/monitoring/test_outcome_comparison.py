"""Outcomes against the reference: a loss of NDCG, and positives relative to what `match_score` leads to expect."""

from __future__ import annotations

import pytest

from recmem.reference.reference import Outcomes
from training.monitoring.findings import overall
from training.monitoring.monitor_config import MonitorConfig
from training.monitoring.outcome_comparison import compared_outcomes


def outcomes(ndcg: float, observed: float, *, width: float = 0.01) -> Outcomes:
    ratio = observed / 0.01
    interval = (ndcg - width, ndcg + width)
    return Outcomes(500, 400, ndcg, interval, 0.8, 0.01, observed, (ratio / 1.1, ratio * 1.1))


@pytest.mark.parametrize(
    ("current", "ndcg", "ratio"),
    [
        (outcomes(0.30, 0.010), "ok", "ok"),
        (outcomes(0.26, 0.014), "warn", "warn"),
        (outcomes(0.20, 0.004), "alert", "alert"),
        (outcomes(0.40, 0.010), "ok", "ok"),
        (outcomes(0.20, 0.010, width=0.2), "too few", "ok"),
    ],
)
def test_outcomes_warn_of_a_loss_beyond_the_intervals(current: Outcomes, ndcg: str, ratio: str) -> None:
    found = {each.name: each.status for each in compared_outcomes(outcomes(0.30, 0.01), current, MonitorConfig())}
    assert found == {"ndcg_at_10": ndcg, "observed_to_expected": ratio}


def test_without_a_comparable_reference_only_the_calibration_is_judged() -> None:
    found = list(compared_outcomes(None, outcomes(0.3, 0.01), MonitorConfig()))
    assert [each.name for each in found] == ["observed_to_expected"]
    assert overall(each.status for each in found) == "ok"
