"""Runs and promotion on a real MLflow server, which hands out artifacts itself: no path of its own is read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

import nightly_log
import recmem
from command_line import DONE, Outcome
from mlflow_server import mlflow_server
from training.configuration.config_text import config_toml
from training.pipeline import run_training
from training.progress import Silent
from training.run import TrainingResult


def retrain(out: Path, night: int) -> TrainingResult:
    return run_training(
        items=nightly_log.items() if night == 1 else None,
        events=nightly_log.events_of(nightly_log.FIRST_DAYS + night),
        impressions=None,
        out=out,
        store=None,
        config=nightly_log.settings(name="shop"),
        progress=Silent(),
    )


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that MLflow's variables name."""
    for name in ("MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    mlflow.set_tracking_uri(None)
    monkeypatch.chdir(tmp_path)
    with mlflow_server(tmp_path / "server") as started:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", started)
        monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        yield started
        # Else later tests would ask a server that is gone.
        mlflow.set_tracking_uri(None)


def test_a_champion_on_a_server_is_scored_replaced_rolled_back_and_served(address: str, tmp_path: Path) -> None:
    first = retrain(tmp_path / "run", 1)
    second = retrain(tmp_path / "run", 2)
    assert first.verdict.words == "promoted: first champion"
    assert second.verdict.comparison is not None
    assert second.verdict.comparison.bundle == "measured"
    assert second.verdict.words.startswith("promoted: ")
    again = retrain(tmp_path / "run", 2)
    assert again.registration.startswith("Nothing has changed since version 2 of shop was registered")
    client = MlflowClient(address)
    check_runs(client, address)
    tags = client.get_model_version("shop", "2").tags
    assert tags["against_version"] == "1"
    assert float(tags["against_champion_low"]) <= float(tags["against_champion_high"])
    assert "verdict.json" in {file.path for file in client.list_artifacts(second_run(client))}
    back = Outcome("rollback", "--registered-name", "shop", "--tracking", address)
    assert (back.code, back.out.strip()) == (
        DONE,
        "Version 1 of shop is the champion again instead of version 2.",
    )
    shown = Outcome("versions", "--registered-name", "shop")
    assert "rolled back on 20" in shown.out
    assert len(client.search_model_versions("name = 'shop'")) == 2
    model = recmem.load("models:/shop@champion", store=tmp_path / "run" / "store")
    newest = recmem.load(second.bundle, store=tmp_path / "run" / "store")
    assert model.bundle.config.learned_until < newest.bundle.config.learned_until
    assert list(tmp_path.rglob("mlflow.db")) == []


def trainings(client: MlflowClient) -> list[Run]:
    """The parent runs, oldest first."""
    experiment = client.get_experiment_by_name("recmem")
    assert experiment is not None
    wanted = "tags.`recmem.run` = 'training'"
    return list(client.search_runs([experiment.experiment_id], wanted, order_by=["attributes.start_time ASC"]))


def steps(client: MlflowClient, parent: Run) -> dict[str, Run]:
    nested = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    return {run.info.run_name: run for run in client.search_runs([parent.info.experiment_id], nested)}


def check_runs(client: MlflowClient, address: str) -> None:
    """Three trainings, of which the third has reused what the second did."""
    first, second, third = trainings(client)
    for run in (first, second, third):
        assert run.info.run_name.startswith("run-20")
        assert {entry.dataset.name for entry in run.inputs.dataset_inputs} == {"items", "events"}
        assert "lift/ndcg_at_10" in run.data.metrics
        assert run.data.params["num_leaves"] == run.data.params["ranker.leaves"]
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"report.html", "figures", "verdict.json", "recmem.toml"} <= files
    assert "against_champion/ndcg_at_10" in third.data.metrics
    origins = steps(client, second)
    for name, step in steps(client, third).items():
        origin = origins[name].info
        assert step.data.tags["recmem.reused_from"] == origin.run_id
        assert (
            f"({address}/#/experiments/{origin.experiment_id}/runs/{origin.run_id})"
            in (step.data.tags["mlflow.note.content"])
        )
    (output,) = second.outputs.model_outputs
    measured = {metric.key: metric for metric in client.get_logged_model(output.model_id).metrics}
    assert measured["lift/ndcg_at_10"].dataset_name == "events"


def test_mlflow_run_and_recmem_train_share_an_experiment_and_their_steps(address: str, tmp_path: Path) -> None:
    tables = {"items": tmp_path / "shop" / "items.parquet", "events": tmp_path / "shop" / "events.parquet"}
    tables["items"].parent.mkdir()
    nightly_log.items().write_parquet(tables["items"])
    nightly_log.events_of(nightly_log.FIRST_DAYS).write_parquet(tables["events"])
    settings = nightly_log.settings(name="shop")
    (tmp_path / "my.toml").write_text(config_toml(settings))
    given = {name: str(path) for name, path in tables.items()}
    run_training(**given, impressions=None, out=tmp_path / "run", store=None, config=settings, progress=Silent())
    project = Path(__file__).parents[2] / "mlflow_projects"
    command = [sys.executable, "-m", "mlflow", "run", str(project), "-e", "main", "--env-manager", "local"]
    given |= {"out": str(tmp_path / "run"), "config": str(tmp_path / "my.toml")}
    for name, value in given.items():
        command += ["-P", f"{name}={value}"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    client = MlflowClient(address)
    first, second = trainings(client)
    assert first.info.run_name == second.info.run_name
    assert second.info.run_name.startswith("shop-20")
    assert second.data.params["events"] == str(tables["events"])
    origins = {name: run.info.run_id for name, run in steps(client, first).items()}
    reused = {name: run.data.tags.get("recmem.reused_from") for name, run in steps(client, second).items()}
    assert reused == origins
    (pointer,) = client.search_runs(["0"])
    assert pointer.data.tags["recmem.training_run"] == second.info.run_id


def second_run(client: MlflowClient) -> str:
    return str(client.get_model_version("shop", "2").run_id)
