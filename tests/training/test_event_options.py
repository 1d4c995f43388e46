"""The options that name events, as the command line and the MLflow project have them."""

from __future__ import annotations

import pytest
import typer

from training import mlflow_project
from training.cli.train import train
from training.event_options import weights_of

OPTIONS = {
    "--positive-events",
    "--negative-events",
    "--neutral-events",
    "--weight",
    "--features",
    "--position-debiasing",
}


@pytest.mark.parametrize("step", ["main", "ingest", "match", "rank", "evaluate", "refit", "report"])
def test_every_step_of_the_project_takes_the_options_of_the_command(step: str) -> None:
    alone = typer.Typer()
    alone.command()(train)
    command = typer.main.get_command(alone)
    steps = typer.main.get_command(mlflow_project.app).commands  # type: ignore[attr-defined]
    for taker in (command, steps[step]):
        assert {option for parameter in taker.params for option in parameter.opts} >= OPTIONS


def test_weights_may_be_given_one_by_one_or_with_commas() -> None:
    assert weights_of(["click=0.2, view=0.1", "buy=3"]) == ["click=0.2", "view=0.1", "buy=3"]
    assert weights_of(None) == []
