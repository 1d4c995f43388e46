"""The fit of a run's folds: used again as long as nothing has changed that they depend on."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

import cross_fit_log
from feature_store import DataError
from training.cross_fit.fit import BUNDLE, FOLDS
from training.training_features import training_features

FEW = cross_fit_log.events().filter(pl.col("user_id").str.ends_with("0"))


def test_folds_are_used_again_until_the_log_grows(tmp_path: Path) -> None:
    first = training_features(cross_fit_log.rows(FEW), cross_fit_log.items(), FEW, out=tmp_path, folds=1)
    again = training_features(cross_fit_log.rows(FEW), cross_fit_log.items(), FEW, out=tmp_path, folds=1)
    assert (first.reused, again.reused) == (False, True)
    assert again.frame.equals(first.frame)
    longer = pl.concat([FEW, FEW.tail(9).with_columns(pl.col("timestamp") + timedelta(days=2))])
    later = training_features(cross_fit_log.rows(FEW), events=longer, out=tmp_path, store=tmp_path / "store", folds=1)
    assert not later.reused
    assert later.folds[-1].until > first.folds[-1].until


def test_folds_say_what_they_are_in_a_file_for_people() -> None:
    found = cross_fit_log.fitted()
    run = found.bundle.parent
    assert found.bundle == run / BUNDLE
    summary = json.loads((run / FOLDS / "folds.json").read_text())
    assert [fold["until"] for fold in summary["folds"]] == [fold.until for fold in found.folds]
    assert [border["jump"] for border in summary["borders"]] == [border.jump for border in found.borders]


def test_a_log_of_two_times_is_refused(tmp_path: Path) -> None:
    two = FEW.filter(pl.col("timestamp") < cross_fit_log.START + timedelta(days=4))
    with pytest.raises(DataError, match=r"events\.timestamp: expected at least 3 distinct timestamps, got 2"):
        training_features(two, cross_fit_log.items(), two, out=tmp_path)
    assert not (tmp_path / BUNDLE).exists()
