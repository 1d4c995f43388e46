"""The files of a search."""

from __future__ import annotations

import shutil
from operator import attrgetter
from pathlib import Path

import polars as pl
import pytest

import small_search
from feature_store import DataError
from training.configuration.effective import effective_config, with_values
from training.settings_search.study import Trial
from training.settings_search.tuning_result import trials_frame


def test_best_toml_gives_the_configuration_that_was_measured() -> None:
    result = small_search.searched()
    config = effective_config(result.config)
    assert config == with_values(effective_config(small_search.QUICK), result.best.settings)
    for name, (before, after) in result.changed.items():
        assert before == result.base.settings[name]
        assert attrgetter(name)(config) == after != before


def test_head_of_best_toml_has_both_figures() -> None:
    result = small_search.searched()
    head = " ".join(line.removeprefix("# ") for line in result.config.read_text().splitlines() if line[:1] == "#")
    assert f"{result.best.value:.4f}" in head
    assert f"{result.base.value:.4f}" in head


def test_table_has_a_row_per_trial_with_figure_and_settings() -> None:
    result = small_search.searched()
    table = pl.read_parquet(result.table)
    assert table["trial"].to_list() == [trial.number for trial in result.trials]
    assert table["ndcg_at_10"].to_list() == [trial.value for trial in result.trials]
    assert table["group"].to_list() == [trial.group for trial in result.trials]
    assert table["memory.recent"].to_list() == [trial.settings["memory.recent"] for trial in result.trials]
    assert table["seconds"].min() > 0  # type: ignore[operator]


def test_table_holds_failed_trials_too() -> None:
    good = Trial(0, "base", {"ranker.l2": 10.0}, 0.5, "ranker_with_match", 2.0, "")
    failed = Trial(1, "ranker", {"ranker.l2": 3}, None, "", 1.0, "no luck")
    table = trials_frame([good, failed])
    assert table["ndcg_at_10"].to_list() == [0.5, None]
    assert table["ranker.l2"].to_list() == [10.0, 3.0]
    assert table["cause"].to_list() == ["", "no luck"]


def test_gain_is_that_of_the_trials_means() -> None:
    result = small_search.searched()
    assert result.best.value is not None
    assert result.base.value is not None
    assert result.gain.best.difference == pytest.approx(result.best.value - result.base.value)
    assert result.gain.queries > 50


def test_lost_figures_are_refused_in_words(tmp_path: Path) -> None:
    out = shutil.copytree(small_search.searched().out, tmp_path / "tuning")
    (out / "work" / "tuning" / "trials" / "3.parquet").unlink()
    with pytest.raises(DataError, match=r"out: expected the figures of trial 3 in .*, got no file\. Remove tuning\.db"):
        small_search.search(out)
