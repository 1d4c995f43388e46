"""Parent and child runs, how they end, and which steps are reused."""

from __future__ import annotations

import logging
import os
import traceback
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from conftest import IsolatedMlflow
from feature_store import DataError
from training.tracking.step_key import step_key
from training.tracking.tracker import Tracker

KEY = step_key("match", {"store": "1"}, {"seed": 0}, [])


@pytest.fixture
def client(isolated_mlflow: IsolatedMlflow) -> MlflowClient:
    return MlflowClient(isolated_mlflow.tracking_uri)


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


def test_steps_are_children_of_the_parent_and_all_finish(client: MlflowClient, tmp_path: Path) -> None:
    with Tracker.start(tmp_path) as tracker:
        for name in ("ingest", "encode"):
            with tracker.step(name, name, tmp_path / name):
                pass
    runs = children(client, tracker)
    assert [run.info.run_name for run in runs] == ["ingest", "encode"]
    assert [run.data.tags["recmem.step"] for run in runs] == ["ingest", "encode"]
    assert {run.info.status for run in [*runs, client.get_run(tracker.parent.run_id)]} == {"FINISHED"}


def test_children_that_are_no_steps_are_below_the_parent_and_never_reused(client: MlflowClient, tmp_path: Path) -> None:
    with Tracker.start(tmp_path) as tracker:
        for _ in range(2):
            with tracker.child("trial 0") as child:
                assert not child.reused
                child.log_metrics({"figure": 0.5})
        with pytest.raises(ValueError, match="bad"), tracker.child("trial 1"):
            raise ValueError("bad")
    runs = children(client, tracker)
    assert [run.info.run_name for run in runs] == ["trial 0", "trial 0", "trial 1"]
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED", "FAILED"]
    assert runs[1].data.metrics == {"figure": 0.5}
    assert all("recmem.step" not in run.data.tags for run in runs)


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


def started_by_mlflow_run(client: MlflowClient, experiment: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run as `mlflow run` leaves it for the process that it starts."""
    tags = {"mlflow.source.type": "PROJECT", "mlflow.source.name": "git@host:recmem", "mlflow.user": "me"}
    project = client.create_run(experiment, tags=tags)
    client.log_param(project.info.run_id, "items", "items.parquet")
    monkeypatch.setenv("MLFLOW_RUN_ID", project.info.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    return project


def test_run_of_mlflow_run_in_the_default_experiment_gets_a_training_in_the_usual_one(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID")
    assert not run_once(tmp_path)[0]
    project = started_by_mlflow_run(client, "0", monkeypatch)
    reused, step_id = run_once(tmp_path)
    assert reused
    training = client.get_run(client.get_run(step_id).data.tags["mlflow.parentRunId"])
    assert client.get_experiment(training.info.experiment_id).name == "recmem"
    assert training.data.params == {"items": "items.parquet"}
    assert training.data.tags["mlflow.source.name"] == "git@host:recmem"
    assert training.data.tags["recmem.project_run"] == project.info.run_id
    pointer = client.get_run(project.info.run_id).data.tags
    assert pointer["recmem.training_run"] == training.info.run_id
    page = f"(#/experiments/{training.info.experiment_id}/runs/{training.info.run_id})"
    assert pointer["mlflow.note.content"].endswith(f"{page}, which is in the experiment recmem.")


@pytest.mark.parametrize(("given", "name"), [(None, "shop-2026-11-28"), ("weekly", "weekly")])
def test_run_of_mlflow_run_is_named_unless_somebody_has_named_it(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, name: str
) -> None:
    project = started_by_mlflow_run(client, client.create_experiment("project"), monkeypatch)
    if given is not None:
        client.set_tag(project.info.run_id, "mlflow.runName", given)
    with Tracker.start(tmp_path, run_name="shop-2026-11-28") as tracker:
        pass
    assert tracker.parent.run_id == project.info.run_id
    assert client.get_run(project.info.run_id).info.run_name == name


def test_run_of_another_server_is_refused(
    isolated_mlflow: IsolatedMlflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with (
        pytest.raises(DataError, match=r"MLFLOW_RUN_ID: expected a run of the tracking server, .* absolute address"),
        Tracker.start(tmp_path),
    ):
        pass


# Reuse


def test_step_with_the_same_key_is_reused(client: MlflowClient, tmp_path: Path) -> None:
    first, origin = run_once(tmp_path)
    second, run_id = run_once(tmp_path)
    third, last_id = run_once(tmp_path)
    assert [first, second, third] == [False, True, True]
    for reused in (client.get_run(run_id), client.get_run(last_id)):
        assert reused.data.tags["recmem.reused_from"] == origin
        assert (reused.data.params, reused.data.metrics) == ({"seed": "0"}, {"loss": 0.5})
        page = f"#/experiments/{reused.info.experiment_id}/runs/{origin}"
        assert f"]({page}): nothing has changed since." in reused.data.tags["mlflow.note.content"]


def test_step_with_another_key_is_run_again(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
    run_once(tmp_path)
    assert not run_once(tmp_path, key="f" * 32)[0]


@pytest.mark.parametrize("damage", ["changed", "missing", "added"])
def test_step_is_run_again_if_its_outputs_have_changed(
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


def test_every_output_of_a_reused_step_must_be_there(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
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


def test_mlflow_prints_nothing_during_a_run_and_as_before_after_it(
    isolated_mlflow: IsolatedMlflow, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = logging.getLogger("mlflow").level
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_text("a note", "note.txt")
        logging.getLogger("mlflow.store").info("a note")
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("mlflow").level == before
    assert not {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"} & set(os.environ)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://me:hunter2@127.0.0.1:9", "http://127.0.0.1:9"),
        ("mysql+nodriver://me:hunter2@127.0.0.1:9/mlflow?ssl_key=hunter2", r"mysql\+nodriver://127.0.0.1:9/mlflow"),
    ],
)
def test_a_server_that_cannot_be_used_is_named_without_its_password(
    address: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    expected = rf"tracking: expected a tracking server at {shown}, got an error \(.*\)\. Check MLFLOW_TRACKING_URI"
    with pytest.raises(DataError, match=expected) as refused, Tracker.start(tmp_path, tracking_uri=address):
        pass
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))


def test_the_password_of_a_server_is_not_printed_when_a_run_ends(
    isolated_mlflow: IsolatedMlflow, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the database were a server: for these MLflow prints the address of each run that ends.
    client = "mlflow.tracking._tracking_service.client"
    monkeypatch.setattr(f"{client}.RestStore", object)
    monkeypatch.setattr(f"{client}.get_workspace_url", lambda: "http://me:hunter2@host")
    with Tracker.start(tmp_path) as tracker:
        tracker.client.get_run(tracker.parent.run_id)
    assert capfd.readouterr().out == ""
