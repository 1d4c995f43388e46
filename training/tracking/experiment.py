"""Where runs are tracked: the tracking server or database, and the experiment in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.tracking import is_tracking_uri_set
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from feature_store import DataError

EXPERIMENT = "recmem"
"""Name of the experiment if MLflow's variables name none."""

DEFAULT_EXPERIMENT_ID = "0"
"""Of the experiment "Default", in which `mlflow run` starts runs unless it is told another."""

SQLITE = "sqlite:///"
"""Begins the address of a database in a file."""
_KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Tag of an experiment: MLflow opens it on its list of runs, not on a page for traces of language models."""
_NOTE = (
    "One run per training, with a child run per step. Trainings alone: ``tags.`recmem.run` = 'training'``. "
    "Compare them by `lift/ndcg_at_10` and `ndcg_at_10/ranker_with_match`."
)


def tracking_uri_or_database(out: Path) -> str:
    """Where MLflow's variables or `mlflow.set_tracking_uri` point, else a database in `out`, which is made."""
    if is_tracking_uri_set():  # type: ignore[no-untyped-call]
        return mlflow.get_tracking_uri()
    out.mkdir(parents=True, exist_ok=True)
    return database_uri(out)


@contextmanager
def database_lock(uri: str) -> Iterator[None]:
    """Lets one process after the other open a SQLite database: two that create the same one break its migrations."""
    path = Path(uri.removeprefix(SQLITE).partition("?")[0])
    # ":memory:" and addresses of another form have no folder to put the lock into.
    if not uri.startswith(SQLITE) or not path.name or not path.absolute().parent.is_dir():
        yield
        return
    with FileLock(path.absolute().with_name(f".{path.name}.lock")):
        yield


def database_uri(out: Path) -> str:
    """A SQLite database in the run's folder."""
    return f"{SQLITE}{out.absolute() / 'mlflow.db'}"


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """The experiment of MLflow's variables, else the one of this name, which is created if there is none.

    Raises DataError if it was deleted.
    """
    if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return given
    return named_experiment(client, uri, os.environ.get("MLFLOW_EXPERIMENT_NAME") or name)


def named_experiment(client: MlflowClient, uri: str, name: str) -> str:
    """The experiment of this name, which is created if there is none. Raises DataError if it was deleted."""
    found = client.get_experiment_by_name(name)
    if found is None:
        return _create_experiment(client, uri, name)
    if found.lifecycle_stage != "active":
        command = f"`mlflow experiments restore --experiment-id {found.experiment_id}`"
        raise DataError(
            f"experiment: expected an active one, got {name!r}, which was deleted. "
            f"Restore it with {command}, or name another."
        )
    return str(found.experiment_id)


def _create_experiment(client: MlflowClient, uri: str, name: str) -> str:
    """A new experiment. Beside a SQLite file its artifacts go to a folder; a server has its own place for them."""
    location = None
    if uri.startswith(SQLITE):
        location = Path(uri.removeprefix(SQLITE)).absolute().with_name("mlartifacts").as_uri()
    try:
        tags = {**_KIND, MLFLOW_RUN_NOTE: _NOTE}
        return str(client.create_experiment(name, artifact_location=location, tags=tags))
    except MlflowException:
        # Another process may have created it in between; else the error stands.
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return str(found.experiment_id)
