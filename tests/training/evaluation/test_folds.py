"""The figures of folds: their means, and the file."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from training.evaluation.auc_figures import AucFigures
from training.evaluation.folds import EarlierModel, Fold, Folds
from training.evaluation.ledger import Lift

FIRST = Fold("2026-01-01", "2026-02-01", 40, Lift(0.1, 0.15, 0.05, (0.02, 0.08)), "ranker_with_match")
SECOND = Fold(
    "2026-02-01",
    "2026-03-01",
    50,
    Lift(0.1, 0.11, 0.01, (-0.01, 0.03)),
    "ranker_without_match",
    EarlierModel(measured=0.09, refitted=0.1, difference=0.01, ci95=(0.001, 0.02), retrained=0.105),
)
FOLDS = Folds((FIRST, SECOND))


def test_lifts_are_summed_up_by_mean_deviation_and_how_many_lie_above_zero() -> None:
    assert FOLDS.mean_lift == pytest.approx(0.03)
    assert FOLDS.deviation == pytest.approx(0.04 / 2**0.5)
    assert FOLDS.n_above_zero == 1
    assert FOLDS.mean_refit_gain == pytest.approx(0.01)


def test_without_a_refit_there_is_no_gain_of_it() -> None:
    kept = replace(SECOND, earlier=EarlierModel(0.09, None, None, None, 0.105))
    folds = Folds((FIRST, kept))
    assert folds.mean_refit_gain is None
    assert "folds_refit_gain_mean/ndcg@10" not in folds.metrics()
    assert Folds.from_json(folds.to_json()) == folds
    assert json.loads(folds.to_json())["mean_refit_gain"] is None


def test_figures_come_back_from_the_file_as_they_were() -> None:
    assert Folds.from_json(FOLDS.to_json()) == FOLDS
    written = json.loads(FOLDS.to_json())
    assert written["metric"] == "ndcg@10"
    assert (written["mean_lift"], written["deviation"], written["mean_refit_gain"]) == (0.03, 0.028284, 0.01)
    assert written["folds"][0]["lift"] == {"without": 0.1, "with": 0.15, "difference": 0.05, "ci95": [0.02, 0.08]}


def test_figures_of_the_folds_are_series_in_order_of_time_beside_those_of_all() -> None:
    assert FOLDS.metrics() == pytest.approx(
        {
            "folds_lift_mean/ndcg@10": 0.03,
            "folds_lift_deviation/ndcg@10": 0.04 / 2**0.5,
            "folds_refit_gain_mean/ndcg@10": 0.01,
        }
    )
    series = FOLDS.series()
    assert series["folds_lift/ndcg@10"][0] == 0.05
    assert series["folds_lift_low/ndcg@10"][1] == -0.01


def test_auc_of_impressions_is_kept_per_window_and_pooled() -> None:
    auc = AucFigures(30, 0.65, (0.6, 0.7), 0.58, 0.07, (0.02, 0.12))
    folds = Folds((replace(FIRST, auc=auc), replace(SECOND, auc=auc)), pooled_auc=replace(auc, queries=60))
    assert Folds.from_json(folds.to_json()) == folds
    assert folds.metrics()["folds_auc/ranker"] == 0.65
    assert folds.metrics()["folds_auc/click_through"] == 0.58
    # Without impressions the file says nothing of it.
    assert "auc" not in FOLDS.to_json()


def test_a_window_whose_impressions_were_clicked_as_a_whole_has_no_auc() -> None:
    undefined = AucFigures(0, math.nan, (-1.0, 1.0), math.nan, math.nan, (-1.0, 1.0))
    folds = Folds((replace(FIRST, auc=undefined), SECOND), pooled_auc=undefined)
    assert json.loads(folds.to_json())["folds"][0]["auc"]["ranker"] is None
    read = Folds.from_json(folds.to_json())
    assert read.pooled_auc is not None
    assert math.isnan(read.pooled_auc.ranker)
    assert read.to_json() == folds.to_json()
