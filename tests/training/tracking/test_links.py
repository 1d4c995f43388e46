"""Links to runs: whole for a server, relative for a database, and without secrets."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

from conftest import IsolatedMlflow
from training.tracking.links import link_to_step, run_link, run_url


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/#/experiments/3/runs/ab"),
        ("https://me:hunter2@mlflow.example/team/", "https://mlflow.example/team/#/experiments/3/runs/ab"),
        ("sqlite:////data/mlflow.db", "#/experiments/3/runs/ab"),
        ("postgresql://me:hunter2@db/mlflow", "#/experiments/3/runs/ab"),
        ("databricks", ""),
        ("databricks://profile", ""),
    ],
)
def test_address_of_a_run_is_that_of_its_page(address: str, url: str) -> None:
    assert run_url(address, "3", "ab") == url


def test_step_is_linked_with_the_name_of_its_training(isolated_mlflow: IsolatedMlflow) -> None:
    client = MlflowClient(isolated_mlflow.tracking_uri)
    experiment = isolated_mlflow.experiment_id
    parent = client.create_run(experiment, run_name="my_shop-2026-11-28")
    step = client.create_run(experiment, tags={"mlflow.parentRunId": parent.info.run_id}, run_name="match")
    link = link_to_step(client, step.info.run_id, "match")
    page = f"#/experiments/{experiment}/runs/{step.info.run_id}"
    assert link == f"[match of my\\_shop-2026-11-28]({page})"
    alone = client.create_run(experiment, run_name="match")
    assert link_to_step(client, alone.info.run_id, "match") == run_link(client, alone, "match")


def test_run_that_is_gone_is_named_by_its_id(isolated_mlflow: IsolatedMlflow) -> None:
    client = MlflowClient(isolated_mlflow.tracking_uri)
    assert link_to_step(client, "0" * 32, "match") == f"match, run {'0' * 32}"
