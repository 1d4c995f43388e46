"""The options that name events, as the command line and the MLflow project have them."""

from __future__ import annotations

import pytest
import typer

from training import mlflow_project
from training.cli.train import train

OPTIONS = {"--positive-events", "--negative-events", "--neutral-events", "--features"}


@pytest.mark.parametrize("step", ["main", "ingest", "match", "rank", "evaluate", "refit", "report"])
def test_every_step_of_the_project_takes_the_options_of_the_command(step: str) -> None:
    alone = typer.Typer()
    alone.command()(train)
    command = typer.main.get_command(alone)
    steps = typer.main.get_command(mlflow_project.app).commands  # type: ignore[attr-defined]
    for taker in (command, steps[step]):
        assert {option for parameter in taker.params for option in parameter.opts} >= OPTIONS
