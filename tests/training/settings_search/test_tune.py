"""`recmem.tune`: a search from Python, on a log whose base configuration is plainly bad."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

import cross_fit_log
import small_search
from feature_store import DataError
from training.configuration.effective import effective_config
from training.configuration.given_settings import ConfigError
from training.settings_search.search import EndedTrial
from training.settings_search.study import MissingOptunaError
from training.settings_search.tune import tune

BAD = small_search.QUICK | {"ranker.min_rows_in_leaf": 1_000_000, "ranker.blend_l2": 1e9}
"""No tree finds a split, and the blend hardly tells features apart."""


def test_bad_base_configuration_is_clearly_improved(tmp_path: Path) -> None:
    ended: list[EndedTrial] = []
    result = small_search.search(tmp_path / "tuning", config=BAD, trials=8, search=["ranker"], on_trial=ended.append)
    assert [each.trial for each in ended] == list(result.trials)
    assert {trial.group for trial in result.trials[1:]} == {"ranker"}
    assert result.gain.best.low > 0.05
    assert result.gain.chosen_elsewhere.low > 0.02
    assert not result.gain.is_noise
    assert "Caution" not in result.config.read_text()
    found = effective_config(result.config).ranker
    assert found.blend_l2 < 1e4 or found.min_rows_in_leaf < 3000
    assert effective_config(result.config).match == effective_config(BAD).match


def test_neither_tables_nor_store_is_refused() -> None:
    with pytest.raises(DataError, match="items, events: expected both, or a store"):
        tune(out="unused")


def test_faults_of_the_configuration_come_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ranker\.leaves: expected 2 to 4,096, got 1"):
        tune(cross_fit_log.items(), cross_fit_log.events(), out=tmp_path / "tuning", config={"ranker.leaves": 1})
    with pytest.raises(ValueError, match="minutes: expected more than 0, got -1"):
        tune(cross_fit_log.items(), cross_fit_log.events(), out=tmp_path / "tuning", minutes=-1)
    assert not (tmp_path / "tuning").exists()


def test_missing_optuna_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingOptunaError, match=r"pip install 'recmem\[tune\]'"):
        tune(cross_fit_log.items(), cross_fit_log.events(), out=tmp_path / "tuning")
    assert not (tmp_path / "tuning").exists()


def test_log_with_too_few_queries_to_validate_on_is_refused_in_words(tmp_path: Path) -> None:
    few = cross_fit_log.events().filter(pl.col("user_id") == "user-0")
    with pytest.raises(DataError, match=r"events: expected at least two queries .*nothing to tune settings on"):
        small_search.search(tmp_path / "tuning", few, trials=1)
