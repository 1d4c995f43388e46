"""A monitoring as a run of its own in MLflow, linked to the model version that it watched."""

from __future__ import annotations

from pathlib import Path

from mlflow.exceptions import MlflowException

from recmem.serving.registry import REGISTRY
from training.monitoring.findings import Monitoring
from training.monitoring.words import headline
from training.tracking.tracker import Tracker

STATUS_TAG = "recmem.monitor.status"
VERSION_TAG = "recmem.monitor.model"
RUN_TAG = "monitor_run"
"""Tag of a model version: the newest run that watched it."""
VERSION_STATUS_TAG = "monitor_status"


def log_monitoring(found: Monitoring, out: Path, *, tracking_uri: str | None, files: list[Path]) -> str:
    """Logs figures, status and files to a new run in the experiment of the trainings; the run's id.

    A registered version gets the tags `monitor_status` and `monitor_run`.
    """
    subject = found.model_version.removeprefix(REGISTRY).replace("/", "-") or Path(found.model).name
    with Tracker.start(out, tracking_uri=tracking_uri, run_name=f"monitor-{subject}") as tracker:
        run = tracker.parent
        run.log_metrics(found.metrics())
        run.set_tags(
            {STATUS_TAG: found.status, VERSION_TAG: found.model_version, "mlflow.note.content": headline(found)}
        )
        for path in files:
            run.log_artifact(path)
        name, _, version = found.model_version.removeprefix(REGISTRY).rpartition("/")
        if name:
            try:
                for tag, value in ((VERSION_STATUS_TAG, found.status), (RUN_TAG, run.run_id)):
                    tracker.client.set_model_version_tag(name, version, tag, value)
            except MlflowException:
                pass  # read-only access to the registry is enough to watch a model
        return run.run_id
