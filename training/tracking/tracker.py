"""Runs in MLflow: one parent per training run, one child per step, and the reuse of earlier steps."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from feature_store import DataError
from feature_store.addresses import cause_without_secrets, redact, without_secrets
from training.tracking.experiment import (
    DEFAULT_EXPERIMENT_ID,
    EXPERIMENT,
    database_lock,
    experiment_id,
    named_experiment,
    tracking_uri_or_database,
)
from training.tracking.links import link_to_step, run_link
from training.tracking.run_name import is_generated
from training.tracking.step_key import outputs_digest
from training.tracking.step_run import StepRun, dataset_inputs

STEP_TAG = "recmem.step"
STEP_KEY_TAG = "recmem.step_key"
OUTPUTS_TAG = "recmem.outputs"
REUSED_FROM_TAG = "recmem.reused_from"
"""Tag of a reused step: the run that did its work."""
PROJECT_RUN_TAG = "recmem.project_run"
"""Tag of a parent: the run of `mlflow run` that it was started by, where that is another run."""
TRAINING_RUN_TAG = "recmem.training_run"
"""Tag of such a run of `mlflow run`: the parent."""

_LOG_LEVELS = {"mlflow": logging.WARNING, "alembic": logging.WARNING, "mlflow.store.db.utils": logging.CRITICAL}
"""The least level that each of MLflow's loggers prints. What a database refuses is raised, so it need not be logged."""
_VARIABLES = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # the address may hold a password
}
"""MLflow's variables for what it prints."""
_SOURCE_TAGS = ("mlflow.source.", "mlflow.project.", "mlflow.user")
"""How the tags begin that say what started a run."""


@dataclass(frozen=True)
class Tracker:
    """The parent run of a training run; its steps and models are tracked under it."""

    client: MlflowClient
    experiment_id: str
    parent: StepRun
    reused: dict[str, str] = field(default_factory=dict, compare=False)
    """The steps that were reused so far, in order, with Markdown links to the runs that did their work."""

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
        """The parent run for a `with` block; it ends as finished, or as failed if the block raises.

        `tracking_uri` defaults to that of MLflow's variables, else to a SQLite database in `out`. Within `mlflow run`
        the parent is the run that MLflow has started, unless that is in the experiment "Default": then it is one in
        `experiment`, and the two are linked. MLflow prints only warnings and errors during the block.
        """
        uri = tracking_uri or tracking_uri_or_database(Path(out))
        with _quiet():
            registry_uri = os.environ.get("MLFLOW_REGISTRY_URI") or uri
            with _reachable(uri), database_lock(uri):
                client = MlflowClient(tracking_uri=uri, registry_uri=registry_uri)
                run = _parent_run(client, uri, experiment, run_name)
            with _reachable(registry_uri), database_lock(registry_uri):
                client.search_registered_models(max_results=1)
            tracker = cls(client, run.info.experiment_id, StepRun(run.info.run_id, client))
            with _ending(client, run.info.run_id):
                yield tracker

    @contextmanager
    def step(self, name: str, key: str, outputs: str | Path | Sequence[str | Path]) -> Iterator[StepRun]:
        """A step's run, a child of the parent, for a `with` block that leaves its results in `outputs`.

        `outputs` are folders or files. If an earlier run of this experiment has finished a step of the same name and
        `key` (see `step_key`), and its outputs are there unchanged, the run is marked as `reused` and gets the earlier
        run's parameters, metrics and data, and a link to it.
        """
        paths = [Path(path) for path in ([outputs] if isinstance(outputs, str | Path) else outputs)]
        earlier = self._finished(name, key, outputs_digest(paths))
        tags = {MLFLOW_PARENT_RUN_ID: self.parent.run_id, STEP_TAG: name, STEP_KEY_TAG: key}
        run = _new_run(self.client, self.experiment_id, name, tags)
        step_run = StepRun(run.info.run_id, self.client, reused=earlier is not None, key=key)
        with _ending(self.client, step_run.run_id):
            if earlier is not None:
                self.reused[name] = _copy_results(step_run, earlier)
            yield step_run
            # Set before the run counts as finished: a run without this tag is never reused.
            step_run.set_tags({OUTPUTS_TAG: outputs_digest(paths)})

    @contextmanager
    def child(self, name: str) -> Iterator[StepRun]:
        """A run below the parent for a `with` block, which is no step: nothing reuses it."""
        run = _new_run(self.client, self.experiment_id, name, {MLFLOW_PARENT_RUN_ID: self.parent.run_id})
        with _ending(self.client, run.info.run_id):
            yield StepRun(run.info.run_id, self.client)

    def _finished(self, name: str, key: str, outputs: str) -> Run | None:
        """The run that has finished this step and left these outputs; None if there is none."""
        if not outputs:
            return None
        tags = {STEP_TAG: name, STEP_KEY_TAG: key, OUTPUTS_TAG: outputs}
        conditions = ["attributes.status = 'FINISHED'", *(f"tags.`{tag}` = '{value}'" for tag, value in tags.items())]
        found = self.client.search_runs([self.experiment_id], " and ".join(conditions), max_results=1)
        return found[0] if found else None


@contextmanager
def _reachable(uri: str) -> Iterator[None]:
    """Raises DataError if a server cannot be reached or used. Its address is shown without secrets."""
    try:
        yield
    except Exception as error:  # of MLflow, or of a database and its driver
        if isinstance(error, DataError) or uri.startswith("sqlite:"):
            raise
        cause = redact(str(error), addresses=[uri]).partition("\n")[0]
        raise DataError(
            f"tracking: expected a tracking server at {without_secrets(uri)}, got an error ({cause.rstrip('.')}). "
            "Check MLFLOW_TRACKING_URI, and that the server runs and lets you in."
        ) from cause_without_secrets(error, addresses=[uri])


def _parent_run(client: MlflowClient, uri: str, experiment: str, name: str | None) -> Run:
    """The run that all of a training belongs to: that of `mlflow run`, or a new one."""
    project = _project_run(client)
    if project is None:
        return _new_run(client, experiment_id(client, uri, experiment), name)
    if project.info.experiment_id == DEFAULT_EXPERIMENT_ID:
        return _run_beside(client, project, named_experiment(client, uri, experiment), name)
    if name is not None and is_generated(project.info.run_name):
        client.update_run(project.info.run_id, name=name)
    return project


def _run_beside(client: MlflowClient, project: Run, experiment: str, name: str | None) -> Run:
    """A new run with the source and the parameters of one in "Default", which nobody has chosen for it.

    So the trainings of `mlflow run` and of `recmem train` are in one list, and share steps.
    """
    source = {tag: value for tag, value in project.data.tags.items() if tag.startswith(_SOURCE_TAGS)}
    run = _new_run(client, experiment, name, source | {PROJECT_RUN_TAG: project.info.run_id})
    StepRun(run.info.run_id, client).log_params(project.data.params)
    link = run_link(client, run, run.info.run_name)
    note = f"Started the training {link}, which is in the experiment {client.get_experiment(experiment).name}."
    StepRun(project.info.run_id, client).set_tags({TRAINING_RUN_TAG: run.info.run_id, MLFLOW_RUN_NOTE: note})
    return run


def _project_run(client: MlflowClient) -> Run | None:
    """The run that `mlflow run` has started for this process, resumed. As in MLflow, only the first caller gets it."""
    run_id = os.environ.pop("MLFLOW_RUN_ID", None)
    if run_id is None:
        return None
    try:
        client.update_run(run_id, status="RUNNING")
        return client.get_run(run_id)
    except MlflowException as error:
        shown = without_secrets(client.tracking_uri)
        raise DataError(
            f"MLFLOW_RUN_ID: expected a run of the tracking server, got {run_id}, which {shown} does not have. "
            "Set MLFLOW_TRACKING_URI to an absolute address, since `mlflow run` changes the working folder."
        ) from cause_without_secrets(error, addresses=[client.tracking_uri])


def _new_run(client: MlflowClient, experiment: str, name: str | None, tags: Mapping[str, str] | None = None) -> Run:
    return client.create_run(experiment, tags=resolve_tags({**(tags or {})}), run_name=name)


@contextmanager
def _ending(client: MlflowClient, run_id: str) -> Iterator[None]:
    """Ends the run with the block: finished, failed if it raises, or killed if the user interrupts it."""
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        client.set_terminated(run_id, status)


def _copy_results(step_run: StepRun, earlier: Run) -> str:
    """Gives a reused step the parameters, last metrics and data of the run that did the work; a link to that run."""
    origin = earlier.data.tags.get(REUSED_FROM_TAG, earlier.info.run_id)
    step_run.log_params(earlier.data.params)
    step_run.log_metrics(earlier.data.metrics)
    step_run.log_inputs(dataset_inputs(earlier))
    link = link_to_step(step_run.client, origin, earlier.info.run_name)
    note = f"Reused from the run {link}: nothing has changed since."
    step_run.set_tags({REUSED_FROM_TAG: origin, MLFLOW_RUN_NOTE: note})
    return link


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps MLflow's progress bars, addresses and informational messages off the console during the block."""
    loggers = {logging.getLogger(name): level for name, level in _LOG_LEVELS.items()}
    levels_before = {logger: logger.level for logger in loggers}
    variables_before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(_VARIABLES)
    for logger, level in loggers.items():
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, level in levels_before.items():
            logger.setLevel(level)
        for name, value in variables_before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
