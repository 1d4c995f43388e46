"""A whole search: what it reads and leaves, that it goes on, and what it refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import polars as pl
import pytest

import cross_fit_log
import small_search
from feature_store import DataError
from training.configuration.effective import effective_config
from training.settings_search import search as search_module
from training.settings_search.search import EndedTrial, check_limits
from training.settings_search.study import Trial
from training.settings_search.validation import Measured, ValidationQueries

TESTS = Path(__file__).parents[2]
BLOCKED_BELOW = """
import sys, time
import small_search
from training.settings_search.validation import ValidationQueries
measure = ValidationQueries.measure
begun = []
def blocking(self, config):
    begun.append(config)
    if len(begun) == 5:
        print("in the trial of the match", flush=True)
        time.sleep(600)
    return measure(self, config)
ValidationQueries.measure = blocking
small_search.search(sys.argv[1])
"""


def outcome(trials: tuple[Trial, ...]) -> list[tuple[str, float | None, dict[str, float]]]:
    return [(trial.group, trial.value, trial.settings) for trial in trials]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the folder of `small_search.searched`."""
    return shutil.copytree(small_search.searched().out, tmp_path / "tuning")


def test_best_trial_is_never_worse_than_the_base_configuration() -> None:
    result = small_search.searched()
    assert len(result.trials) == small_search.TRIALS
    assert [trial.group for trial in result.trials] == ["base", "ranker", "ranker", "ranker", "match", "ranker"]
    values = [trial.value for trial in result.trials if trial.value is not None]
    assert len(values) == small_search.TRIALS
    assert len(set(values)) > 3
    assert result.best.value == max(values) >= values[0]
    assert result.base.settings["ranker.rounds"] == 50


def test_same_search_gives_the_same_trials_whatever_happens_in_the_test_period(tmp_path: Path) -> None:
    changed = small_search.events_with_another_test_period()
    events = cross_fit_log.events()
    late = events["timestamp"] > small_search.test_from(events)
    assert 0.05 < late.mean() <= 0.1
    assert (changed.filter(late)["item_id"] != events.filter(late)["item_id"]).mean() > 0.9
    assert changed.filter(~late).equals(events.filter(~late))
    again = small_search.search(tmp_path / "tuning", changed)
    assert outcome(again.trials) == outcome(small_search.searched().trials)


def test_change_before_the_test_period_changes_the_figures(tmp_path: Path) -> None:
    events = cross_fit_log.events()
    early = events["timestamp"] <= small_search.test_from(events)
    shuffled = pl.concat([events.filter(early).with_columns(pl.col("item_id").shuffle(seed=1)), events.filter(~early)])
    again = small_search.search(tmp_path / "tuning", shuffled, trials=1)
    assert again.base.value != small_search.searched().base.value


def test_nothing_is_registered_and_no_step_that_reads_the_test_is_run() -> None:
    out = small_search.searched().out
    client = mlflow.MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    assert list(client.search_registered_models()) == []
    experiment = client.get_experiment_by_name("recmem")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.data.tags["recmem.step"] for run in runs if "recmem.step" in run.data.tags} == {
        "ingest",
        "encode",
        "tune",
    }
    left = {path.name for path in (out / "work").iterdir()}
    assert left == {"ingest", "encode", "tune", "tuning"}
    assert not (out / "bundle").exists()
    assert not (out / "ledger.json").exists()


def test_mlflow_has_a_parent_with_a_child_per_trial() -> None:
    result = small_search.searched()
    client = mlflow.MlflowClient(f"sqlite:///{result.out / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("recmem").experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert parent.info.run_name == "tune"
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["ndcg_at_10/validation"] == result.best.value
    assert parent.data.metrics["ndcg_at_10/validation_base"] == result.base.value
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} >= {"best.toml", "trials.parquet"}
    children = {run.info.run_name: run for run in runs if run.info.run_name.startswith("trial ")}
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {parent.info.run_id}
    for trial in result.trials:
        child = children[f"trial {trial.number}"]
        assert child.data.metrics["ndcg_at_10/validation"] == trial.value
        assert child.data.params["group"] == trial.group
        assert child.data.params["ranker.leaves"] == str(trial.settings["ranker.leaves"])
    assert len(children) == len(result.trials)


def test_search_killed_in_a_trial_goes_on_to_what_one_call_finds(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    command = [sys.executable, "-c", BLOCKED_BELOW, str(tmp_path / "tuning")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=TESTS.parent, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in the trial of the match\n"
        process.kill()
    ended: list[EndedTrial] = []
    resumed = small_search.search(tmp_path / "tuning", on_trial=ended.append)
    assert [each.trial.group for each in ended] == ["match", "ranker"]
    assert outcome(resumed.trials) == outcome(small_search.searched().trials)
    # The killed trial has failed, and was tried again under another number.
    assert [trial.number for trial in resumed.trials] == [0, 1, 2, 3, 5, 6]
    assert resumed.config.read_text().splitlines()[3:] == small_search.searched().config.read_text().splitlines()[3:]


def test_finished_search_tries_nothing_more_and_gives_the_same_result(copied: Path) -> None:
    before = (copied / "best.toml").read_text()
    (copied / "best.toml").unlink()
    ended: list[EndedTrial] = []
    again = small_search.search(copied, on_trial=ended.append)
    assert ended == []
    assert outcome(again.trials) == outcome(small_search.searched().trials)
    assert (copied / "best.toml").read_text() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": small_search.QUICK | {"ranker.leaves": 9}}, r"where ranker\.leaves was 15 and is 9\."),
        ({"config": small_search.QUICK | {"seed": 4}}, r"where seed was 0 and is 4\."),
        ({"events": small_search.longer_log()}, r"where events had other rows\."),
    ],
    ids=["another setting", "another seed", "another log"],
)
def test_search_on_other_data_or_settings_is_refused_and_changes_nothing(
    changes: dict[str, object], message: str, copied: Path
) -> None:
    before = {path: path.read_bytes() for path in copied.rglob("*.parquet")}
    with pytest.raises(DataError, match=message + " Choose another folder, or remove tuning.db there"):
        small_search.search(copied, **changes)
    assert {path: path.read_bytes() for path in copied.rglob("*.parquet")} == before


def test_settings_that_no_trial_reads_may_change(copied: Path) -> None:
    config = small_search.QUICK | {"promote": "never", "refit": False}
    again = small_search.search(copied, config=config)
    assert outcome(again.trials) == outcome(small_search.searched().trials)
    assert "refit = false" in again.config.read_text()


def test_ctrl_c_ends_the_search_with_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = ValidationQueries.measure
    begun: list[object] = []

    def interrupted(self: ValidationQueries, config: object) -> Measured:
        begun.append(config)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return measure(self, config)  # type: ignore[arg-type]

    monkeypatch.setattr(ValidationQueries, "measure", interrupted)
    result = small_search.search(tmp_path / "tuning")
    assert result.interrupted
    assert outcome(result.trials) == outcome(small_search.searched().trials[:2])
    assert result.config.is_file()
    assert len(pl.read_parquet(result.table)) == 2


def test_ctrl_c_before_the_base_configuration_is_measured_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: ValidationQueries, config: object) -> Measured:
        raise KeyboardInterrupt

    monkeypatch.setattr(ValidationQueries, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        small_search.search(tmp_path / "tuning")
    assert not (tmp_path / "tuning" / "best.toml").exists()


def test_trial_that_cannot_be_measured_is_listed_with_its_cause_and_the_search_goes_on(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = ValidationQueries.measure

    def refusing(self: ValidationQueries, config: object) -> Measured:
        if not refused:
            refused.append(config)
            raise DataError("events: expected more, got few. Give more.")
        return measure(self, config)  # type: ignore[arg-type]

    refused: list[object] = []
    monkeypatch.setattr(ValidationQueries, "measure", refusing)
    result = small_search.search(copied, trials=8)
    failed, good = result.trials[-2:]
    assert (failed.value, failed.cause) == (None, "events: expected more, got few. Give more.")
    assert good.value is not None
    causes = pl.read_parquet(result.table)["cause"].to_list()
    assert causes == [""] * 6 + [failed.cause, ""]


def test_no_trial_is_begun_that_would_not_end_in_time(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "TimeBudget", lambda minutes: Spent())
    result = small_search.search(copied, trials=100)
    assert len(result.trials) == small_search.TRIALS


class Spent:
    """A time budget of which nothing is left."""

    def left_s(self) -> float:
        return 0.0

    def fits(self, group: str, trials: object, *, has_pairs: bool) -> bool:
        return group == "base"


@pytest.mark.parametrize(
    ("minutes", "trials", "groups", "message"),
    [
        (0, None, ("ranker",), r"minutes: expected more than 0, got 0\."),
        (float("nan"), None, ("ranker",), r"minutes: expected more than 0, got nan\."),
        (1, 0, ("ranker",), r"trials: expected at least 1, got 0\."),
        (1, 1, ("ranker", "trees"), r"search: expected ranker or match, or both, got 'trees'\."),
        (1, 1, (), r"search: expected ranker or match, or both, got none\."),
    ],
)
def test_limits_without_sense_are_refused(
    minutes: float, trials: int | None, groups: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_limits(minutes, trials, groups)


def test_a_search_reads_users_and_vectors_and_loads_no_encoder_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("loaded")

    monkeypatch.setattr("training.run.TextEncoder.load", never)
    ids = cross_fit_log.items()["item_id"]
    numbers = np.random.default_rng(0).normal(size=(len(ids), 8)).astype(np.float32)
    vectors = pl.DataFrame({"item_id": ids, "vector": pl.Series(numbers, dtype=pl.Array(pl.Float32, 8))})
    users = cross_fit_log.events().select("user_id").unique("user_id", maintain_order=True).with_row_index("age")
    config = small_search.QUICK | {"vectors_name": "random"}
    result = small_search.search(tmp_path / "tuning", trials=1, config=config, users=users, vectors=vectors)
    assert [receipt.table for receipt in result.intake.receipts] == ["items", "events", "users", "item_vectors"]
    assert result.base.value is not None
    assert effective_config(result.config).vectors_name == "random"
