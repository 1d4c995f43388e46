"""The step that scores the champion: whatever is wrong with that one, it leaves a verdict."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from mlflow import MlflowClient

import nightly_log
import small_training
from conftest import IsolatedMlflow
from feature_store import DataError
from training.config import TrainingConfig
from training.evaluation.verdict import Champion, Verdict
from training.pipeline import run_training
from training.progress import Silent
from training.run import Run, open_run
from training.steps import compare as step
from training.steps.compare import compare, read_verdict
from training.tables import Tables
from training.tracking.tracker import Tracker

CHAMPION = Champion("4", "run-of-4")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    shutil.copytree(small_training.trained() / "run" / "work", tmp_path / "run" / "work")
    store = str(small_training.trained() / "run" / "store")
    return open_run(Tables(), tmp_path / "run", store, TrainingConfig(), Silent())


def judged(run: Run, monkeypatch: pytest.MonkeyPatch, bundle: Any) -> Verdict:
    """The verdict of the step, with `bundle()` as what the registry gives."""
    run.champion = CHAMPION
    monkeypatch.setattr(step, "champion_bundle", lambda *_: bundle())
    with Tracker.start(run.out) as tracker:
        compare(run, tracker.parent)
    return read_verdict(run)


def test_without_a_champion_the_ledger_decides(run: Run, isolated_mlflow: IsolatedMlflow) -> None:
    with Tracker.start(run.out) as tracker:
        compare(run, tracker.parent)
    verdict = read_verdict(run)
    assert (verdict.promotes, verdict.finding, verdict.comparison) == (True, "first", None)
    kept = MlflowClient().download_artifacts(tracker.parent.run_id, "verdict.json", str(run.out))
    assert Verdict.from_json(Path(kept).read_text()) == verdict


def test_an_equal_champion_is_not_beaten_and_does_not_hinder(
    run: Run, isolated_mlflow: IsolatedMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = judged(run, monkeypatch, lambda: (run.folder("evaluate") / "bundle", "measured"))
    assert (verdict.promotes, verdict.finding, verdict.champion) == (True, "not worse", CHAMPION)
    assert verdict.comparison is not None
    assert (verdict.comparison.lift.difference, verdict.comparison.queries) == (0.0, 30)
    run.config = replace(run.config, promote="better")
    assert not judged(run, monkeypatch, lambda: (run.folder("evaluate") / "bundle", "measured")).promotes


def test_a_champion_that_has_learned_from_the_test_queries_stays(
    run: Run, isolated_mlflow: IsolatedMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = judged(run, monkeypatch, lambda: (run.folder("refit") / "bundle", "shipped"))
    assert (verdict.promotes, verdict.finding, verdict.comparison) == (False, "not compared", None)
    assert "version 4 cannot be compared: it has learned up to 2026-05-31" in verdict.reason


def test_a_champion_of_new_items_is_not_compared_with_a_challenger_of_repeats(
    run: Run, isolated_mlflow: IsolatedMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = run.training_data
    dataset = replace(data.dataset, config=replace(data.dataset.config, repeats=True))
    run.training_data = replace(data, dataset=dataset)
    verdict = judged(run, monkeypatch, lambda: (run.folder("evaluate") / "bundle", "measured"))
    assert (verdict.promotes, verdict.finding) == (False, "not compared")
    assert "it was trained to rank only items that are new to the user, and this one repeats too" in verdict.reason


def test_a_champion_reads_its_own_columns_of_the_impressions(
    isolated_mlflow: IsolatedMlflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model against itself: without the column that tells the clicks, its ranking would be another one."""
    days = nightly_log.FIRST_DAYS + 1
    shown = nightly_log.impressions_of(days)
    noise = np.random.default_rng(0).normal(size=len(shown))
    config = replace(nightly_log.settings(), features=("badge",), refit=False)
    result = run_training(
        items=nightly_log.items(),
        events=nightly_log.events_of(days),
        impressions=shown.with_columns(badge=2 * pl.col("label") + noise),
        out=tmp_path / "run",
        store=None,
        config=config,
        progress=Silent(),
    )
    run = open_run(Tables(), tmp_path / "run", None, config, Silent())
    verdict = judged(run, monkeypatch, lambda: (result.measured_bundle, "measured"))
    assert verdict.comparison is not None
    assert (verdict.comparison.lift.difference, verdict.comparison.lift.ci95) == (0.0, (0.0, 0.0))


def gone() -> Any:
    raise DataError("model: expected a model in MLflow's registry, got none.\nAsk someone.")


def crash() -> Any:
    raise MemoryError


def no_bundle(run: Run) -> Any:
    (run.out / "empty").mkdir(exist_ok=True)
    return run.out / "empty", "measured"


def older_format(run: Run) -> Any:
    folder = run.out / "older"
    if not folder.exists():
        shutil.copytree(run.folder("evaluate") / "bundle", folder)
        manifest = folder / "bundle.json"
        manifest.write_text(manifest.read_text().replace('"format_version": ', '"format_version": 0'))
    return folder, "measured"


@pytest.mark.parametrize("broken", ["gone", "crash", "no_bundle", "older_format", "encoder"])
def test_a_champion_that_cannot_be_loaded_or_scored_ends_in_words(
    run: Run, isolated_mlflow: IsolatedMlflow, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    bundles = {
        "gone": gone,
        "crash": crash,
        "no_bundle": lambda: no_bundle(run),
        "older_format": lambda: older_format(run),
        "encoder": lambda: (run.folder("evaluate") / "bundle", "measured"),
    }
    with missing_encoder(monkeypatch) if broken == "encoder" else no_change():
        verdict = judged(run, monkeypatch, bundles[broken])
    assert (verdict.promotes, verdict.finding, verdict.comparison) == (True, "not compared", None)
    assert verdict.reason.startswith("version 4 cannot be scored (")
    assert "\n" not in verdict.reason
    run.config = replace(run.config, promote="better")
    with missing_encoder(monkeypatch) if broken == "encoder" else no_change():
        assert not judged(run, monkeypatch, bundles[broken]).promotes


@contextmanager
def no_change() -> Iterator[None]:
    yield


@contextmanager
def missing_encoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The champion's texts are in no cache, and its encoder is not there."""

    def refused(*_: object, **__: object) -> Any:
        raise DataError("encoder: expected the files of another/encoder, got none.")

    with monkeypatch.context() as patch:
        patch.setattr("recmem.serving.model.embedding_of", refused)
        yield


def test_a_password_in_an_error_does_not_reach_the_verdict(
    run: Run, isolated_mlflow: IsolatedMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> Any:
        raise OSError("no route to http://me:hunter2@models.example/api")

    assert "hunter2" not in judged(run, monkeypatch, refused).to_json()


def test_a_run_without_the_step_says_so(run: Run) -> None:
    (run.folder("compare") / "verdict.json").unlink()
    with pytest.raises(DataError, match=r"out: expected .*verdict\.json from the step `compare`, got no file"):
        read_verdict(run)
