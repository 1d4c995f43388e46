"""What a registered version carries. (That the registered model scores is tested in tests/recmem/test_pyfunc.py.)"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from mlflow import MlflowClient

from conftest import IsolatedMlflow
from training.evaluation.ledger import HeldOut, Ledger, Lift, Protocol
from training.tracking.registry import new_version
from training.tracking.tracker import Tracker

PROTOCOL = Protocol(queries=400, catalogue=3, test_from="2024-01-01", candidates="catalogue")
LEDGER = Ledger(PROTOCOL, (), {"ndcg@10": Lift(0.2, 0.3, 0.1, (0.05, 0.15))}, {})


def test_version_describes_its_lift_and_names_its_run(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
    client = MlflowClient(isolated_mlflow.tracking_uri)
    with Tracker.start(tmp_path) as tracker:
        model = tracker.client.create_logged_model(tracker.experiment_id, source_run_id=tracker.parent.run_id)
        versions = [new_version(tracker, model.model_id, LEDGER) for _ in range(2)]
    assert versions == ["1", "2"]
    registered = client.get_registered_model("recmem")
    assert {alias: str(version) for alias, version in registered.aliases.items()} == {"challenger": "2"}
    version = client.get_model_version("recmem", "2")
    assert "0.2" in version.description
    assert json.loads(version.tags["recmem.lift"])["difference"] == 0.1
    assert version.run_id == tracker.parent.run_id
    assert client.get_run(version.run_id).info.status == "FINISHED"


def test_tags_hold_the_measured_lift_whichever_ranker_ships(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
    client = MlflowClient(isolated_mlflow.tracking_uri)
    without = replace(LEDGER, held_out=HeldOut("ranker_without_match", 0, None, None))
    with Tracker.start(tmp_path) as tracker:
        model = tracker.client.create_logged_model(tracker.experiment_id, source_run_id=tracker.parent.run_id)
        for ledger in (LEDGER, without):
            new_version(tracker, model.model_id, ledger)
    names = ("lift_ndcg_at_10", "lift_low", "lift_high", "ndcg_at_10", "ships", "recmem.ships")
    with_text, without_text = ([client.get_model_version("recmem", n).tags[name] for name in names] for n in "12")
    assert with_text == ["0.1", "0.05", "0.15", "0.3", "with text features", "ranker_with_match"]
    assert without_text == ["0.1", "0.05", "0.15", "0.2", "without text features", "ranker_without_match"]
    assert json.loads(client.get_model_version("recmem", "2").tags["recmem.lift"])["difference"] == 0.1
