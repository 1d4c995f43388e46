"""Runs in MLflow: one parent for a training, one child a step, and steps that are taken from an earlier run."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import is_tracking_uri_set
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from feature_store import DataError
from training.tracking.step_key import outputs_digest, step_key
from training.tracking.step_run import StepRun

__all__ = ["EXPERIMENT", "StepRun", "Tracker", "default_tracking_uri", "step_key"]

EXPERIMENT = "recmem"
STEP, STEP_KEY, OUTPUTS, REUSED_FROM = "recmem.step", "recmem.step_key", "recmem.outputs", "recmem.reused_from"

_NOISY_LOGGERS = {"mlflow": logging.WARNING, "alembic": logging.WARNING, "mlflow.store.db.utils": logging.CRITICAL}
"""From which level on they are heard; what a database refuses is logged with a traceback, and raised as well."""


@dataclass(frozen=True)
class Tracker:
    """The parent run of a training, and the place where its steps and models are tracked."""

    client: MlflowClient
    experiment_id: str
    parent: StepRun

    @classmethod
    @contextmanager
    def start(
        cls,
        out: str | Path,
        *,
        experiment: str = EXPERIMENT,
        tracking_uri: str | None = None,
        run_name: str | None = None,
    ) -> Iterator[Tracker]:
        """The parent run, for the length of a `with` block; finished at its end, or failed where that is an error.

        Without `tracking_uri` the usual MLflow variables say where to; without those it is SQLite in `out`. Within
        `mlflow run` the parent is the run that MLflow has started. MLflow's notes are kept off the console meanwhile.
        """
        uri = tracking_uri or _usual_tracking_uri(Path(out))
        with _quiet():
            client = MlflowClient(tracking_uri=uri, registry_uri=os.environ.get("MLFLOW_REGISTRY_URI") or uri)
            run = _project_run(client) or _new_run(client, _experiment_id(client, uri, experiment), run_name)
            tracker = cls(client, run.info.experiment_id, StepRun(run.info.run_id, client))
            with _ended(client, run.info.run_id):
                yield tracker

    @contextmanager
    def step(self, name: str, key: str, outputs: str | Path | Sequence[str | Path]) -> Iterator[StepRun]:
        """A step's run, nested in the parent, for the length of a `with` block that leaves its results in `outputs`.

        `outputs` are folders or files. Where an earlier run of this experiment has finished a step of the same name
        and `key` (see `step_key`), and what it left stands there unchanged, the run says `reused` and carries that
        one's figures.
        """
        paths = [Path(path) for path in ([outputs] if isinstance(outputs, str | Path) else outputs)]
        earlier = self._finished(name, key, outputs_digest(paths))
        tags = {MLFLOW_PARENT_RUN_ID: self.parent.run_id, STEP: name, STEP_KEY: key}
        run = _new_run(self.client, self.experiment_id, name, tags)
        step = StepRun(run.info.run_id, self.client, reused=earlier is not None)
        with _ended(self.client, step.run_id):
            if earlier is not None:
                _take_over(step, earlier)
            yield step
            # Before the run counts as finished: one without this tag is never taken over.
            step.set_tags({OUTPUTS: outputs_digest(paths)})

    def _finished(self, name: str, key: str, outputs: str) -> Run | None:
        if not outputs:
            return None
        wanted = {STEP: name, STEP_KEY: key, OUTPUTS: outputs}
        tags = " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in wanted.items())
        filtered = f"attributes.status = 'FINISHED' and {tags}"
        found = self.client.search_runs([self.experiment_id], filtered, max_results=1)
        return found[0] if found else None


def default_tracking_uri(out: Path) -> str:
    """Where runs are tracked when nothing else is said: a database in the results' folder."""
    return f"sqlite:///{out.absolute() / 'mlflow.db'}"


# Where to track


def _usual_tracking_uri(out: Path) -> str:
    if is_tracking_uri_set():  # type: ignore[no-untyped-call]
        return mlflow.get_tracking_uri()
    out.mkdir(parents=True, exist_ok=True)
    return default_tracking_uri(out)


def _experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """The experiment of the usual variables, else the one of this name, which is made where there is none."""
    if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return given
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or name
    found = client.get_experiment_by_name(name)
    if found is None:
        return _create_experiment(client, uri, name)
    if found.lifecycle_stage != "active":
        remedy = f"Restore it with `mlflow experiments restore --experiment-id {found.experiment_id}`, or name another."
        raise DataError(f"experiment: expected one that is there, got {name!r}, which was deleted. {remedy}")
    return str(found.experiment_id)


def _create_experiment(client: MlflowClient, uri: str, name: str) -> str:
    """A new experiment; beside a SQLite file its artifacts lie in a folder, a server knows where it keeps them."""
    location = None
    if uri.startswith("sqlite:///"):
        location = Path(uri.removeprefix("sqlite:///")).absolute().with_name("mlartifacts").as_uri()
    try:
        return str(client.create_experiment(name, artifact_location=location))
    except MlflowException:
        # Another process was faster, or it is a real fault.
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)


# Runs


def _project_run(client: MlflowClient) -> Run | None:
    """The run that `mlflow run` has started for this process, resumed; the first to ask for it has it, as in MLflow."""
    run_id = os.environ.pop("MLFLOW_RUN_ID", None)
    if run_id is None:
        return None
    try:
        client.update_run(run_id, status="RUNNING")
        return client.get_run(run_id)
    except MlflowException as error:
        got = f"MLFLOW_RUN_ID={run_id}, which is not at {client.tracking_uri}"
        remedy = "Set MLFLOW_TRACKING_URI to an absolute address, since `mlflow run` changes the working folder."
        raise DataError(f"MLFLOW_RUN_ID: expected a run of the tracking server, got {got}. {remedy}") from error


def _new_run(client: MlflowClient, experiment_id: str, name: str | None, tags: Mapping[str, str] | None = None) -> Run:
    return client.create_run(experiment_id, tags=resolve_tags({**(tags or {})}), run_name=name)


@contextmanager
def _ended(client: MlflowClient, run_id: str) -> Iterator[None]:
    """Ends the run with the block: finished, failed, or killed where the user stopped it."""
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        client.set_terminated(run_id, status)


def _take_over(step: StepRun, earlier: Run) -> None:
    """Gives a reused step the parameters and last figures of the run that did the work, and its address."""
    origin = earlier.data.tags.get(REUSED_FROM, earlier.info.run_id)
    step.log_params(earlier.data.params)
    step.log_metrics(earlier.data.metrics)
    step.set_tags({REUSED_FROM: origin, "mlflow.note.content": f"Taken from the run {origin}: nothing has changed."})


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow's notes and progress bars kept off the console; its warnings and errors still come."""
    loggers = [logging.getLogger(name) for name in _NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    bar = os.environ.get("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR")
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    for logger, level in zip(loggers, _NOISY_LOGGERS.values(), strict=True):
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bar is None:
            del os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"]
        else:
            os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = bar
