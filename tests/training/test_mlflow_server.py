"""Promotion against a real MLflow server, which hands out artifacts itself: no path of its own is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

import nightly_log
import recmem
from command_line import DONE, Outcome
from mlflow_server import mlflow_server
from training.pipeline import run_training
from training.progress import Silent
from training.run import TrainingResult


def retrain(out: Path, night: int) -> TrainingResult:
    return run_training(
        items=nightly_log.items() if night == 1 else None,
        events=nightly_log.events_of(nightly_log.FIRST_DAYS + night),
        impressions=None,
        out=out,
        store=None,
        config=nightly_log.settings(name="shop"),
        progress=Silent(),
    )


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server that MLflow's variables name."""
    for name in ("MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    mlflow.set_tracking_uri(None)
    monkeypatch.chdir(tmp_path)
    with mlflow_server(tmp_path / "server") as started:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", started)
        monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        yield started
        # Else later tests would ask a server that is gone.
        mlflow.set_tracking_uri(None)


def test_a_champion_on_a_server_is_scored_replaced_rolled_back_and_served(address: str, tmp_path: Path) -> None:
    first = retrain(tmp_path / "run", 1)
    second = retrain(tmp_path / "run", 2)
    assert first.verdict.words == "promoted: first champion"
    assert second.verdict.comparison is not None
    assert second.verdict.comparison.bundle == "measured"
    assert second.verdict.words.startswith("promoted: ")
    again = retrain(tmp_path / "run", 2)
    assert again.registration.startswith("Nothing has changed since version 2 of shop was registered")
    client = MlflowClient(address)
    tags = client.get_model_version("shop", "2").tags
    assert tags["against_version"] == "1"
    assert float(tags["against_champion_low"]) <= float(tags["against_champion_high"])
    assert "verdict.json" in {file.path for file in client.list_artifacts(second_run(client))}
    back = Outcome("rollback", "--registered-name", "shop", "--tracking", address)
    assert (back.code, back.out.strip()) == (
        DONE,
        "Version 1 of shop is the champion again instead of version 2.",
    )
    shown = Outcome("versions", "--registered-name", "shop")
    assert "rolled back on 20" in shown.out
    assert len(client.search_model_versions("name = 'shop'")) == 2
    model = recmem.load("models:/shop@champion", store=tmp_path / "run" / "store")
    newest = recmem.load(second.bundle, store=tmp_path / "run" / "store")
    assert model.bundle.config.learned_until < newest.bundle.config.learned_until
    assert list(tmp_path.rglob("mlflow.db")) == []


def second_run(client: MlflowClient) -> str:
    return str(client.get_model_version("shop", "2").run_id)
