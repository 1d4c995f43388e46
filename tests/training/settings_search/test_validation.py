"""What a trial is measured on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import cross_fit_log
import small_search
from training.configuration.effective import effective_config, with_values
from training.progress import Silent
from training.run import Run, open_run
from training.settings_search.search_space import space_of
from training.settings_search.validation import ValidationQueries
from training.steps import match as match_step
from training.steps.ingest import append_given
from training.steps.rank import _pairs_of_windows, _test_on_later_queries
from training.tables import Tables


@pytest.fixture(scope="module")
def run() -> Run:
    """The run of `small_search.searched`, as a step of a training sees it."""
    out = small_search.searched().out
    return open_run(Tables(), out, str(out / "store"), effective_config(small_search.QUICK), Silent())


def queries_in(run: Run, folder: Path) -> ValidationQueries:
    return ValidationQueries(run, folder, space_of(run.config))


def test_figure_is_the_one_by_which_a_training_chooses_what_ships(run: Run, tmp_path: Path) -> None:
    measured = queries_in(run, tmp_path).measure(run.config)
    trained = replace(run, out=tmp_path / "trained")
    trained.intake = run.intake
    trained.training_data = run.training_data

    class Unlogged:
        def log_curve(self, name: str, values: object) -> None: ...

    match_step.match(trained, Unlogged())  # type: ignore[arg-type]
    held_out = _test_on_later_queries(trained, *_pairs_of_windows(trained))
    assert held_out.lift is not None
    shipped = held_out.lift.with_ if measured.ships == "ranker_with_match" else held_out.lift.without
    assert measured.ships == held_out.ships
    assert len(measured.figures) == held_out.queries
    assert measured.value == pytest.approx(shipped, abs=1e-6)
    assert measured.value == small_search.searched().base.value


def test_validation_queries_lie_between_the_rankers_windows_begin_and_the_test(run: Run, tmp_path: Path) -> None:
    times = queries_in(run, tmp_path).measure(run.config).figures["time"]
    split = run.training_data.split
    assert split.ranker_from < times.min() <= times.max() <= split.test_from


def test_other_ranker_settings_use_the_match_module_and_the_features_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = queries_in(run, tmp_path)
    first = queries.measure(run.config)

    def never(*_: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr("training.settings_search.validation.base_members", never)
    monkeypatch.setattr("training.settings_search.validation.retrieved_data", never)
    monkeypatch.setattr("training.settings_search.validation.ranker_data", never)
    other = with_values(run.config, {"ranker.leaves": 3, "ranker.learning_rate": 0.2})
    assert queries.has_pairs(other)
    assert queries.measure(other).value != first.value
    assert queries.measure(run.config).figures.equals(first.figures)
    assert not queries.has_pairs(with_values(run.config, {"memory.recent": 20}))


def test_other_match_settings_are_measured_on_the_same_queries(run: Run, tmp_path: Path) -> None:
    queries = queries_in(run, tmp_path)
    first = queries.measure(run.config)
    config = with_values(run.config, {"match.learning_rate": 0.05, "memory.recent": 5})
    other = queries.measure(config)
    assert other.figures.select("user", "time").equals(first.figures.select("user", "time"))
    assert other.value != first.value
    queries.keep(config)
    assert queries.has_pairs(config)
    assert not queries.has_pairs(run.config)


def test_another_process_goes_on_with_queries_and_modules_and_finds_the_same(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = queries_in(run, tmp_path).measure(run.config)

    def never(*_: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr("training.settings_search.validation.base_members", never)
    again = queries_in(run, tmp_path).measure(run.config)
    assert again.figures.equals(first.figures)
    assert np.isfinite(again.value)


def test_queries_that_were_kept_are_asked_as_those_that_were_drawn(tmp_path: Path) -> None:
    users = cross_fit_log.events().select("user_id").unique("user_id", maintain_order=True)
    users = users.with_columns(interests=pl.lit("garden tools"))
    tables = Tables(cross_fit_log.items(), cross_fit_log.events(), users=users)
    run = open_run(tables, tmp_path / "run", None, effective_config(small_search.QUICK), Silent())
    run.intake = append_given(run)
    first = queries_in(run, tmp_path).measure(run.config)
    assert run.training_data.dataset.config.interests
    assert queries_in(run, tmp_path).measure(run.config).figures.equals(first.figures)
