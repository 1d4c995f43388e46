"""Links to runs in MLflow's pages, for descriptions, which MLflow shows as Markdown."""

from __future__ import annotations

from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from feature_store.addresses import without_secrets

_OTHER_PAGES = ("databricks", "uc")
"""Schemes of servers whose pages have other addresses."""


def run_url(tracking_uri: str, experiment_id: str, run_id: str) -> str:
    """The address of a run's page: whole for a server, without secrets; relative to MLflow's pages for a database.

    Empty where the pages have other addresses (Databricks).
    """
    scheme = tracking_uri.partition(":")[0]
    if scheme in _OTHER_PAGES:
        return ""
    page = f"#/experiments/{quote(experiment_id)}/runs/{quote(run_id)}"
    server = without_secrets(tracking_uri).rstrip("/") if scheme in ("http", "https") else ""
    return f"{server}/{page}" if server else page


def run_link(client: MlflowClient, run: Run, text: str) -> str:
    """A Markdown link to a run; the text alone where it cannot be linked."""
    url = run_url(client.tracking_uri, run.info.experiment_id, run.info.run_id)
    escaped = "".join(f"\\{letter}" if letter in "\\[]*_`" else letter for letter in text)
    return f"[{escaped}]({url})" if url else escaped


def link_to_step(client: MlflowClient, run_id: str, step: str) -> str:
    """A Markdown link to the run of a step, which names the training that it belongs to; the id if it is gone."""
    try:
        run = client.get_run(run_id)
        parent_id = run.data.tags.get(MLFLOW_PARENT_RUN_ID)
        parent = client.get_run(parent_id) if parent_id else None
    except MlflowException:
        return f"{step}, run {run_id}"
    return run_link(client, run, f"{step} of {parent.info.run_name}" if parent else step)
