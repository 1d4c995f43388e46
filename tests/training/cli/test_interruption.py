"""Ctrl-C: one line that says what is kept, and the shells' exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

import cross_fit_log
import small_training
from command_line import DONE, Outcome
from conftest import IsolatedMlflow
from training.cli.interruption import FOLDS_ARE_KEPT, INTERRUPTED, STEPS_ARE_KEPT
from training.pipeline import STEPS


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_training_says_that_it_goes_on_and_does(
    tmp_path: Path, isolated_mlflow: IsolatedMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, events = small_training.write_tables(tmp_path)
    command = ("train", "--items", items, "--events", events, "--out", tmp_path / "run")
    with monkeypatch.context() as patched:
        patched.setitem(STEPS, "rank", interrupt)
        stopped = Outcome(*command)
    assert stopped.code == INTERRUPTED
    assert stopped.err.splitlines()[-1] == f"Interrupted. {STEPS_ARE_KEPT}"
    left = (tmp_path / "run" / "work" / "match" / "final.0.safetensors").stat().st_mtime_ns
    assert not (tmp_path / "run" / "bundle").exists()
    again = Outcome(*command)
    assert again.code == DONE
    assert "by an earlier run; neither the tables nor the store have changed since" in again.out
    assert (tmp_path / "run" / "work" / "match" / "final.0.safetensors").stat().st_mtime_ns == left


def test_an_interrupted_fit_of_features_keeps_what_was_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = cross_fit_log.events().filter(cross_fit_log.events()["user_id"].str.ends_with("0"))
    few.write_parquet(tmp_path / "events.parquet")
    cross_fit_log.items().write_parquet(tmp_path / "items.parquet")
    cross_fit_log.rows(few).write_parquet(tmp_path / "rows.parquet")
    tables = [word for name in ("items", "events", "rows") for word in (f"--{name}", tmp_path / f"{name}.parquet")]
    command = ("features", *tables, "--out", tmp_path / "features.parquet", "--folds", 1)
    with monkeypatch.context() as patched:
        patched.setattr("training.cross_fit.fit.fit_chain", interrupt)
        stopped = Outcome(*command)
    assert stopped.code == INTERRUPTED
    assert stopped.err.splitlines()[-1] == f"Interrupted. {FOLDS_ARE_KEPT}"
    assert not (tmp_path / "features.parquet").exists()
    # Nothing is encoded anew.
    monkeypatch.setattr("recmem.text.encoder.TextEncoder.encode", interrupt)
    again = Outcome(*command)
    assert again.code == DONE
    assert "events: 0 new" in again.out


def test_an_interrupted_search_without_a_measured_trial_says_so_too(
    tmp_path: Path, isolated_mlflow: IsolatedMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, events = small_training.write_tables(tmp_path)
    monkeypatch.setattr("training.settings_search.search.run_step", interrupt)
    stopped = Outcome("tune", "--items", items, "--events", events, "--out", tmp_path / "tuning")
    assert stopped.code == INTERRUPTED
    assert stopped.err.splitlines()[-1] == f"Interrupted. {STEPS_ARE_KEPT}"
