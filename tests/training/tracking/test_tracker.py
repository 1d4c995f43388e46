from __future__ import annotations

import json
import logging
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import polars as pl
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from conftest import IsolatedMlflow
from feature_store import DataError, Store
from training.evaluation.ledger import Ledger, Lift, Protocol, Row
from training.tracking.step_key import step_key
from training.tracking.tracker import Tracker

KEY = step_key("match", {"store": "1"}, {"seed": 0}, [])

LEDGER = Ledger(
    protocol=Protocol(queries=2, catalogue=3, test_from="2024-01-01", candidates="catalogue"),
    rows=(Row("popularity", {"ndcg@10": 0.1, "auc": float("nan")}),),
    lift={"ndcg@10": Lift(0.2, 0.3, 0.1, (0.05, 0.15))},
    slices={},
    retrieval={"recall@200": 0.8},
)


@pytest.fixture
def client(isolated_mlflow: IsolatedMlflow) -> MlflowClient:
    return MlflowClient(isolated_mlflow.tracking_uri)


@pytest.fixture
def no_variables(isolated_mlflow: IsolatedMlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where nobody has set up MLflow."""
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)


def children(client: MlflowClient, tracker: Tracker) -> list[Run]:
    """The steps' runs, oldest first."""
    nested = f"tags.mlflow.parentRunId = '{tracker.parent.run_id}'"
    return list(client.search_runs([tracker.experiment_id], nested, order_by=["attributes.start_time"]))


def run_once(out: Path, key: str = KEY, text: str = "weights") -> tuple[bool, str]:
    """A training of one step; whether that was reused, and its run."""
    with Tracker.start(out) as tracker, tracker.step("match", key, out / "match") as step:
        if not step.reused:
            (out / "match").mkdir(parents=True, exist_ok=True)
            (out / "match" / "file").write_text(text)
            step.log_params({"seed": 0})
            step.log_metrics({"loss": 0.5})
    return step.reused, step.run_id


def artifact(client: MlflowClient, run_id: str, path: str) -> bytes:
    return Path(client.download_artifacts(run_id, path)).read_bytes()


# Where to track


def test_runs_go_into_out_when_nobody_says_where(no_variables: None, mlflow_template: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    out.mkdir()
    shutil.copy(mlflow_template, out / "mlflow.db")
    with Tracker.start(out) as tracker:
        tracker.parent.log_figure(b"png", "lift")
    run = MlflowClient(f"sqlite:///{out / 'mlflow.db'}").get_run(tracker.parent.run_id)
    assert run.info.artifact_uri.startswith((out / "mlartifacts").as_uri())
    assert [path.read_bytes() for path in (out / "mlartifacts").rglob("lift.png")] == [b"png"]
    assert not mlflow.is_tracking_uri_set()


def test_relative_out_gives_absolute_addresses(
    no_variables: None, mlflow_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    shutil.copy(mlflow_template, "results/mlflow.db")
    with Tracker.start("results") as tracker:
        monkeypatch.chdir("/")
        tracker.parent.log_figure(b"png", "lift")
    run = tracker.client.get_run(tracker.parent.run_id)
    assert run.info.artifact_uri.startswith((tmp_path / "results" / "mlartifacts").as_uri())


def test_usual_variables_say_where(isolated_mlflow: IsolatedMlflow, client: MlflowClient, tmp_path: Path) -> None:
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


def test_deleted_experiment_is_refused_with_the_mend(
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


# Runs


def test_steps_are_children_of_the_parent_and_all_are_finished(client: MlflowClient, tmp_path: Path) -> None:
    with Tracker.start(tmp_path) as tracker:
        for name in ("ingest", "encode"):
            with tracker.step(name, name, tmp_path / name):
                pass
    runs = children(client, tracker)
    assert [run.info.run_name for run in runs] == ["ingest", "encode"]
    assert [run.data.tags["recmem.step"] for run in runs] == ["ingest", "encode"]
    assert {run.info.status for run in [*runs, client.get_run(tracker.parent.run_id)]} == {"FINISHED"}


@pytest.mark.parametrize(("error", "status"), [(ValueError("bad"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_error_in_a_step_ends_step_and_parent(
    client: MlflowClient, tmp_path: Path, error: BaseException, status: str
) -> None:
    with (
        pytest.raises(type(error)),
        Tracker.start(tmp_path) as tracker,
        tracker.step("match", KEY, tmp_path / "match"),
    ):
        raise error
    assert [run.info.status for run in children(client, tracker)] == [status]
    assert client.get_run(tracker.parent.run_id).info.status == status


def test_parent_is_the_run_that_mlflow_run_has_started(
    isolated_mlflow: IsolatedMlflow, client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = client.create_experiment("project")
    project = client.create_run(experiment)
    client.log_param(project.info.run_id, "out", "results")
    monkeypatch.setenv("MLFLOW_RUN_ID", project.info.run_id)
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_params({"out": str(tmp_path), "seed": 1})
        with tracker.step("match", KEY, tmp_path / "match"):
            assert client.get_run(project.info.run_id).info.status == "RUNNING"
    assert tracker.parent.run_id == project.info.run_id
    assert "MLFLOW_RUN_ID" not in os.environ
    assert len(client.search_runs([experiment])) == 2
    assert len(client.search_runs([isolated_mlflow.experiment_id])) == 0
    ended = client.get_run(project.info.run_id)
    assert (ended.info.status, ended.data.params) == ("FINISHED", {"out": "results", "seed": "1"})


def test_run_of_another_server_is_refused_with_the_mend(
    isolated_mlflow: IsolatedMlflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with (
        pytest.raises(DataError, match=r"MLFLOW_RUN_ID: expected a run of the tracking server, .* absolute address"),
        Tracker.start(tmp_path),
    ):
        pass


# Reuse


def test_step_with_the_same_key_is_taken_from_the_earlier_run(client: MlflowClient, tmp_path: Path) -> None:
    first, origin = run_once(tmp_path)
    second, run_id = run_once(tmp_path)
    third, last_id = run_once(tmp_path)
    assert [first, second, third] == [False, True, True]
    for reused in (client.get_run(run_id), client.get_run(last_id)):
        assert reused.data.tags["recmem.reused_from"] == origin
        assert (reused.data.params, reused.data.metrics) == ({"seed": "0"}, {"loss": 0.5})


def test_step_with_another_key_is_run_again(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
    run_once(tmp_path)
    assert not run_once(tmp_path, key="f" * 32)[0]


@pytest.mark.parametrize("damage", ["changed", "missing", "added"])
def test_step_is_run_again_where_its_outputs_are_not_as_they_were(
    isolated_mlflow: IsolatedMlflow, tmp_path: Path, damage: str
) -> None:
    run_once(tmp_path)
    file = tmp_path / "match" / "file"
    if damage == "missing":
        file.unlink()
    else:
        file.with_name("file" if damage == "changed" else "other").write_text("else")
    assert not run_once(tmp_path)[0]


def test_failed_step_is_not_reused(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
    def fail_at_the_end() -> None:
        with Tracker.start(tmp_path) as tracker, tracker.step("match", KEY, tmp_path / "match"):
            (tmp_path / "match").mkdir()
            (tmp_path / "match" / "file").write_text("weights")
            raise ValueError("out of memory")

    with pytest.raises(ValueError, match="out of memory"):
        fail_at_the_end()
    assert not run_once(tmp_path)[0]


def test_step_of_another_name_is_not_reused(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
    run_once(tmp_path)
    with Tracker.start(tmp_path) as tracker, tracker.step("rank", KEY, tmp_path / "match") as step:
        assert not step.reused


def test_every_output_of_a_step_must_stand(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
    outputs = [tmp_path / "bundle", tmp_path / "report.html"]

    def reused() -> bool:
        with Tracker.start(tmp_path) as tracker, tracker.step("evaluate", KEY, outputs) as step:
            (tmp_path / "bundle").mkdir(exist_ok=True)
            (tmp_path / "bundle" / "weights").write_text("1")
            (tmp_path / "report.html").write_text("<p>")
            return step.reused

    assert [reused(), reused()] == [False, True]
    (tmp_path / "report.html").unlink()
    assert not reused()


# What is logged


def test_parameters_and_curves_come_back(client: MlflowClient, tmp_path: Path) -> None:
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_params(
            {"match": {"heads": 4, "rate": 0.1}, **{f"p{number}": number for number in range(150)}}
        )
        tracker.parent.log_curve("loss@fit", [3.0, float("nan"), 1.0])
    run_id = tracker.parent.run_id
    params = client.get_run(run_id).data.params
    assert (params["match.heads"], params["match.rate"], len(params)) == ("4", "0.1", 152)
    points = [(metric.step, metric.value) for metric in client.get_metric_history(run_id, "loss_at_fit")]
    assert points == [(1, 3.0), (3, 1.0)]


def test_curve_longer_than_one_batch_is_logged_whole(client: MlflowClient, tmp_path: Path) -> None:
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_curve("loss", [float(step) for step in range(2100)])
    assert [metric.step for metric in client.get_metric_history(tracker.parent.run_id, "loss")] == list(range(1, 2101))


def test_ledger_is_logged_as_figures_and_as_file(client: MlflowClient, tmp_path: Path) -> None:
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_ledger(LEDGER)
    assert client.get_run(tracker.parent.run_id).data.metrics == {
        "popularity/ndcg_at_10": 0.1,
        "lift/ndcg_at_10": 0.1,
        "lift_low/ndcg_at_10": 0.05,
        "lift_high/ndcg_at_10": 0.15,
        "retrieval/recall_at_200": 0.8,
    }
    assert json.loads(artifact(client, tracker.parent.run_id, "ledger.json"))["protocol"]["queries"] == 2


@pytest.mark.parametrize("name", ["lift", "lift.png"])
def test_figure_and_files_are_artifacts(client: MlflowClient, tmp_path: Path, name: str) -> None:
    report = tmp_path / "report.html"
    report.write_text("<p>")
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_figure(b"png", name)
        tracker.parent.log_artifact(report)
    assert artifact(client, tracker.parent.run_id, "figures/lift.png") == b"png"
    assert artifact(client, tracker.parent.run_id, "report.html") == b"<p>"


def test_data_is_logged_with_version_rows_and_digest(client: MlflowClient, tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    store.append_items(pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"]}))
    event = {"user_id": ["u"], "item_id": ["a"], "timestamp": [datetime(2024, 1, 1, tzinfo=UTC)]}
    store.append_events(pl.DataFrame(event))
    versions, digest = store.versions(), store.digest()
    store.append_items(pl.DataFrame({"item_id": ["c"], "title": ["C"]}))
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_dataset(str(tmp_path / "store"), versions, digest)
    run = client.get_run(tracker.parent.run_id)
    logged = {entry.dataset.name: entry.dataset for entry in run.inputs.dataset_inputs}
    assert set(logged) == {"items", "events"}
    assert {dataset.digest for dataset in logged.values()} == {digest}
    source = {"path": str(tmp_path / "store" / "items"), "delta_table_version": versions["items"]}
    assert (logged["items"].source_type, json.loads(logged["items"].source)) == ("delta_table", source)
    assert json.loads(logged["items"].profile)["num_rows"] == 2
    assert '"title"' in logged["items"].schema
    assert json.loads(run.data.tags["recmem.store_versions"]) == versions
    assert run.data.tags["recmem.store_digest"] == digest


def test_mlflow_is_quiet_while_a_run_goes_on_and_as_it_was_after(
    isolated_mlflow: IsolatedMlflow, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = logging.getLogger("mlflow").level
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_figure(b"png", "lift")
        logging.getLogger("mlflow.store").info("a note")
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("mlflow").level == before
    assert "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR" not in os.environ
