"""The champion's bundles, and what a verdict changes in the registry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from changed_bundles import sign
from conftest import IsolatedMlflow
from debian_model import trained_model
from recmem.serving.bundle import read_config
from training.evaluation.ledger import Ledger, Lift, Protocol
from training.evaluation.verdict import Champion, Comparison, Verdict
from training.tracking.champion import apply_verdict, champion_bundle, keep_measured_bundle, reigning_champion
from training.tracking.registry import new_version
from training.tracking.tracker import Tracker

LIFT = Lift(0.2, 0.3, 0.1, (0.05, 0.15))
LEDGER = Ledger(Protocol(9, 3, "2024-01-01", "catalogue"), (), {"ndcg@10": LIFT}, {})
TIMES = ("2024-01-01", "2024-01-02", "2024-01-02")
FIRST = Verdict("not-worse", True, "first", "no champion yet, and the text features help")


def against(version: str, *, promotes: bool, policy: str = "not-worse") -> Verdict:
    comparison = Comparison("measured", *TIMES, 400, 300, Lift(0.3, 0.31, 0.01, (-0.01, 0.03)), {})
    reason = f"not worse than version {version}"
    return Verdict(policy, promotes, "not worse", reason, Champion(version, "run"), comparison)  # type: ignore[arg-type]


@pytest.fixture
def client(isolated_mlflow: IsolatedMlflow) -> MlflowClient:
    return MlflowClient(isolated_mlflow.tracking_uri)


def register(out: Path, verdict: Verdict, measured: Path | None = None) -> tuple[str, bool]:
    """A run that registers an empty model: its version, and whether it became champion."""
    with Tracker.start(out) as tracker:
        model = tracker.client.create_logged_model(tracker.experiment_id, source_run_id=tracker.parent.run_id)
        tracker.client.log_model_artifacts(model.model_id, str(trained_model().bundle.parent))
        version = new_version(tracker, model.model_id, LEDGER)
        if measured is not None:
            keep_measured_bundle(tracker, measured)
        return version, apply_verdict(tracker, "recmem", version, verdict)


def aliases(client: MlflowClient) -> dict[str, str]:
    return {alias: str(version) for alias, version in client.get_registered_model("recmem").aliases.items()}


def test_version_is_promoted_if_the_verdict_says_so(client: MlflowClient, tmp_path: Path) -> None:
    assert register(tmp_path, FIRST) == ("1", True)
    assert register(tmp_path, against("1", promotes=False)) == ("2", False)
    assert aliases(client) == {"challenger": "2", "champion": "1"}
    assert register(tmp_path, against("1", promotes=True)) == ("3", True)
    assert aliases(client) == {"challenger": "3", "champion": "3"}
    assert client.get_registered_model("recmem").tags["champions"] == "1,3"


def test_verdict_and_its_figures_are_tags_of_the_version_and_a_file_of_its_run(
    client: MlflowClient, tmp_path: Path
) -> None:
    register(tmp_path, FIRST)
    verdict = against("1", promotes=False)
    register(tmp_path, verdict)
    version = client.get_model_version("recmem", "2")
    expected = {
        "verdict": "refused: not worse than version 1 (+0.010)",
        "recmem.verdict": "not worse than version 1",
        "recmem.promoted": "false",
        "against_version": "1",
        "against_champion_ndcg_at_10": "0.01",
        "against_champion_low": "-0.01",
        "against_champion_high": "0.03",
        "against_champion_queries": "400",
    }
    assert {tag: version.tags.get(tag) for tag in expected} == expected
    kept = client.download_artifacts(str(version.run_id), "verdict.json", str(tmp_path))
    assert Verdict.from_json(Path(kept).read_text()) == verdict


def test_version_is_not_promoted_over_a_champion_that_it_was_not_compared_with(
    client: MlflowClient, tmp_path: Path
) -> None:
    register(tmp_path, FIRST)
    register(tmp_path, against("1", promotes=True))
    assert register(tmp_path, against("1", promotes=True)) == ("3", False)
    assert aliases(client)["champion"] == "2"
    words = client.get_model_version("recmem", "3").tags["verdict"]
    assert words == "refused: version 2 became champion while this one was compared with 1"
    assert register(tmp_path, against("1", promotes=True, policy="always")) == ("4", True)


def test_reigning_champion_is_the_version_with_the_alias_and_its_run(client: MlflowClient, tmp_path: Path) -> None:
    assert reigning_champion(client, "recmem") is None
    register(tmp_path, FIRST)
    run_id = client.get_model_version("recmem", "1").run_id
    assert reigning_champion(client, "recmem") == Champion("1", str(run_id))
    client.delete_registered_model_alias("recmem", "champion")
    assert reigning_champion(client, "recmem") is None


def measured_bundle(tmp_path: Path) -> Path:
    """A bundle that has learned less than the one that ships."""
    folder = Path(shutil.copytree(trained_model().bundle, tmp_path / "measured_bundle"))
    config = json.loads((folder / "bundle.json").read_text())
    config["config"]["learned_until"] -= 1
    (folder / "bundle.json").write_text(json.dumps(config))
    sign(folder)
    return folder


def test_champion_is_compared_by_its_measured_bundle(client: MlflowClient, tmp_path: Path) -> None:
    register(tmp_path, FIRST, measured_bundle(tmp_path))
    champion = reigning_champion(client, "recmem")
    assert champion is not None
    folder, kind = champion_bundle(client, "recmem", champion, tmp_path / "here")
    assert kind == "measured"
    assert read_config(folder).learned_until == read_config(trained_model().bundle).learned_until - 1


@pytest.mark.parametrize("run_id", [None, "", "0123456789abcdef0123456789abcdef"])
def test_of_a_champion_whose_measured_bundle_was_not_kept_the_one_that_ships_is_used(
    client: MlflowClient, tmp_path: Path, run_id: str | None
) -> None:
    version, _ = register(tmp_path, FIRST)
    run_id = str(client.get_model_version("recmem", version).run_id) if run_id is None else run_id
    folder, kind = champion_bundle(client, "recmem", Champion(version, run_id), tmp_path / "here")
    assert kind == "shipped"
    assert read_config(folder) == read_config(trained_model().bundle)
