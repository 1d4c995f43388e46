"""Which versions become champion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from numpy.typing import NDArray

from conftest import IsolatedMlflow
from training.evaluation.ledger import Ledger, Lift, Protocol
from training.evaluation.promotion import TestFigures, Verdict
from training.tracking.champion import promote
from training.tracking.registry import new_version
from training.tracking.tracker import Tracker

N_QUERIES = 400


@pytest.fixture
def client(isolated_mlflow: IsolatedMlflow) -> MlflowClient:
    return MlflowClient(isolated_mlflow.tracking_uri)


@pytest.fixture
def base() -> Iterator[NDArray[np.float64]]:
    """One NDCG@10 a query."""
    return np.random.default_rng(0).random(N_QUERIES)


def figures_of(ndcg: NDArray[np.float64], digest: str = "same") -> TestFigures:
    users = np.array([f"user {row // 2}" for row in range(N_QUERIES)])
    return TestFigures(digest, users, {"ndcg@10": ndcg, "recall@10": np.full(N_QUERIES, np.nan)})


def train(out: Path, figures: TestFigures, lift: float = 0.1) -> tuple[str, Verdict]:
    """A run that registers an empty model: its version, and the verdict."""
    protocol = Protocol(queries=N_QUERIES, catalogue=3, test_from="2024-01-01", candidates="catalogue")
    ledger = Ledger(protocol, (), {"ndcg@10": Lift(0.2, 0.2 + lift, lift, (lift - 0.05, lift + 0.05))}, {})
    with Tracker.start(out) as tracker:
        model = tracker.client.create_logged_model(tracker.experiment_id, source_run_id=tracker.parent.run_id)
        version = new_version(tracker, model.model_id, ledger)
        return version, promote(tracker, version, figures, generator=np.random.default_rng(0))


def aliases(client: MlflowClient) -> dict[str, str]:
    return {alias: str(version) for alias, version in client.get_registered_model("recmem").aliases.items()}


def test_first_model_becomes_champion_if_its_lift_is_not_negative(
    client: MlflowClient, tmp_path: Path, base: NDArray[np.float64]
) -> None:
    version, verdict = train(tmp_path, figures_of(base), lift=0.0)
    assert verdict.better
    assert aliases(client) == {"challenger": version, "champion": version}
    tags = client.get_model_version("recmem", version).tags
    assert tags["recmem.promoted"] == "true"
    assert tags["recmem.verdict"] == verdict.reason


def test_first_model_does_not_become_champion_if_its_lift_is_negative(
    client: MlflowClient, tmp_path: Path, base: NDArray[np.float64]
) -> None:
    version, verdict = train(tmp_path, figures_of(base), lift=-0.01)
    assert verdict.reason == (
        "no champion yet, and the text features do not help: ndcg@10 -0.0100 (95% interval -0.0600 to +0.0400)"
    )
    assert aliases(client) == {"challenger": version}


def test_better_model_replaces_the_champion(client: MlflowClient, tmp_path: Path, base: NDArray[np.float64]) -> None:
    first, _ = train(tmp_path, figures_of(base))
    second, verdict = train(tmp_path, figures_of(base + 0.1), lift=-0.5)
    assert verdict.better
    assert verdict.reason.startswith(f"against version {first}, better: ndcg@10")
    assert verdict.lift is not None
    assert verdict.lift.difference == pytest.approx(0.1)
    assert aliases(client) == {"challenger": second, "champion": second}


@pytest.mark.parametrize("gain", [0.0, -0.1])
def test_model_that_is_not_better_stays_challenger(
    client: MlflowClient, tmp_path: Path, base: NDArray[np.float64], gain: float
) -> None:
    first, _ = train(tmp_path, figures_of(base))
    second, verdict = train(tmp_path, figures_of(base + gain), lift=0.5)
    assert not verdict.better
    assert aliases(client) == {"challenger": second, "champion": first}
    assert client.get_model_version("recmem", second).tags["recmem.promoted"] == "false"


def test_model_of_other_test_queries_is_not_compared(
    client: MlflowClient, tmp_path: Path, base: NDArray[np.float64]
) -> None:
    first, _ = train(tmp_path, figures_of(base))
    _, verdict = train(tmp_path, figures_of(base + 0.1, digest="other"))
    assert (
        verdict.reason == f"against version {first}, not comparable: measured on other test queries (same, not other)"
    )
    assert aliases(client)["champion"] == first


def test_champion_whose_figures_are_lost_stays_champion(
    client: MlflowClient, isolated_mlflow: IsolatedMlflow, tmp_path: Path, base: NDArray[np.float64]
) -> None:
    first, _ = train(tmp_path, figures_of(base))
    for path in isolated_mlflow.artifact_root.rglob("test_figures.parquet"):
        path.unlink()
    _, verdict = train(tmp_path, figures_of(base + 0.1))
    assert verdict.reason.startswith(f"not comparable: the test figures of version {first} cannot be read")
    assert aliases(client)["champion"] == first
