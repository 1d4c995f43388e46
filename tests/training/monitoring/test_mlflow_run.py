"""A monitoring in MLflow: a run with figures and files, and tags of the version that was watched."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient

from conftest import IsolatedMlflow
from training.monitoring.findings import Finding, Limit, Monitoring
from training.monitoring.mlflow_run import log_monitoring

CURRENT = {"queries": 1, "users": 1, "rows": 1, "since": "", "until": "", "rows_in_file": 1, "events": 0}


def monitoring(version: str) -> Monitoring:
    limits = {"psi": Limit(0.4, 0.01, 0.1, 0.25), "ks": Limit(0.3, 0.01, 0.1, 0.2)}
    findings = [
        Finding(name, "candidates' own", "alert", 0.0, 1.0, 1, 1.0, limits)
        for name in ("candidates.price in €", "candidates.price in $")
    ]
    return Monitoring("models:/shop@champion", version, "", CURRENT, CURRENT, tuple(findings))


def test_the_run_has_figures_files_and_the_version_its_status(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
    client = MlflowClient(isolated_mlflow.tracking_uri)
    client.create_registered_model("shop")
    client.create_model_version("shop", source=tmp_path.as_uri())
    page = tmp_path / "monitor.html"
    page.write_text("page")
    run_id = log_monitoring(monitoring("models:/shop/1"), tmp_path, tracking_uri=None, files=[page])
    run = client.get_run(run_id)
    assert run.info.run_name == "monitor-shop-1"
    assert run.info.status == "FINISHED"
    # Characters that MLflow refuses are replaced, and the two columns stay apart.
    assert [value for name, value in run.data.metrics.items() if name.startswith("psi/candidates.price in _")] == [
        0.4
    ] * 2
    assert run.data.metrics["alert_findings"] == 2
    assert run.data.tags["recmem.monitor.status"] == "alert"
    assert run.data.tags["mlflow.note.content"] == "2 alerts in 2 figures."
    assert [each.path for each in client.list_artifacts(run_id)] == ["monitor.html"]
    tags = client.get_model_version("shop", "1").tags
    assert (tags["monitor_status"], tags["monitor_run"]) == ("alert", run_id)


def test_a_bundle_that_is_not_registered_is_logged_alone(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
    run_id = log_monitoring(monitoring(""), tmp_path, tracking_uri=None, files=[])
    assert MlflowClient(isolated_mlflow.tracking_uri).get_run(run_id).data.tags["recmem.monitor.model"] == ""
