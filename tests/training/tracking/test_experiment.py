"""Where runs are tracked: the database in `out`, MLflow's variables, and the experiment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from conftest import IsolatedMlflow
from feature_store import DataError
from training.tracking.tracker import Tracker


@pytest.fixture
def client(isolated_mlflow: IsolatedMlflow) -> MlflowClient:
    return MlflowClient(isolated_mlflow.tracking_uri)


@pytest.fixture
def no_variables(isolated_mlflow: IsolatedMlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where MLflow is not configured."""
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)


def test_runs_are_tracked_in_out_by_default(no_variables: None, mlflow_template: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    out.mkdir()
    shutil.copy(mlflow_template, out / "mlflow.db")
    with Tracker.start(out) as tracker:
        tracker.parent.log_text("a note", "note.txt")
    run = MlflowClient(f"sqlite:///{out / 'mlflow.db'}").get_run(tracker.parent.run_id)
    assert run.info.artifact_uri.startswith((out / "mlartifacts").as_uri())
    assert [path.read_text() for path in (out / "mlartifacts").rglob("note.txt")] == ["a note"]
    assert not mlflow.is_tracking_uri_set()


def test_relative_out_gives_absolute_addresses(
    no_variables: None, mlflow_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    shutil.copy(mlflow_template, "results/mlflow.db")
    with Tracker.start("results") as tracker:
        monkeypatch.chdir("/")
        tracker.parent.log_text("a note", "note.txt")
    run = tracker.client.get_run(tracker.parent.run_id)
    assert run.info.artifact_uri.startswith((tmp_path / "results" / "mlartifacts").as_uri())


def test_mlflow_variables_decide_where_runs_are_tracked(
    isolated_mlflow: IsolatedMlflow, client: MlflowClient, tmp_path: Path
) -> None:
    with Tracker.start(tmp_path / "out", run_name="first") as tracker:
        pass
    run = client.get_run(tracker.parent.run_id)
    assert run.info.experiment_id == isolated_mlflow.experiment_id
    assert run.info.run_name == "first"
    assert not (tmp_path / "out").exists()


def test_experiment_of_the_variable_wins(client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ours")
    with Tracker.start(tmp_path) as tracker:
        pass
    assert client.get_experiment(tracker.experiment_id).name == "ours"


def test_deleted_experiment_is_refused_and_the_error_says_how_to_restore_it(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    gone = client.create_experiment("recmem")
    client.delete_experiment(gone)
    with (
        pytest.raises(DataError, match=rf"experiment: expected .*, got 'recmem', which was deleted\. .*-id {gone}`"),
        Tracker.start(tmp_path),
    ):
        pass


START = """
import sys, time
from pathlib import Path
from training.tracking.tracker import Tracker
while time.time() < float(sys.argv[2]):
    time.sleep(0.001)
with Tracker.start(Path(sys.argv[1])) as tracker:
    tracker.parent.log_metrics({"done": 1})
"""


def test_processes_that_create_the_database_at_once_all_get_a_run(no_variables: None, tmp_path: Path) -> None:
    at_once = str(time.time() + 8)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-W", "ignore", "-c", START, str(tmp_path), at_once]
    processes = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("recmem")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id], "metrics.done = 1")) == 4
