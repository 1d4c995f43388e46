"""`recmem serve`: a process that answers over HTTP, and moves to the version that its alias stands for."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import polars as pl
import pytest
from mlflow import MlflowClient

from command_line import REFUSED, WRONG_USE, Outcome
from conftest import IsolatedMlflow
from debian_model import trained_model
from recmem_service import COMMAND, PATIENCE_S, serving, wait_until
from tolerances import close


def test_a_service_ranks_as_the_model_in_process() -> None:
    user = trained_model().events["user_id"][0]
    items = trained_model().items["item_id"][:20].to_list()
    expected = trained_model().model().rank(pl.DataFrame({"user_id": user, "item_id": items})).sort("rank")
    with serving("--model", trained_model().bundle, "--store", trained_model().store) as ask:
        answer = ask("/rank", {"user_id": user, "items": items})
        assert ask("/openapi.json")["info"]["title"] == "recmem"
    assert [item["item_id"] for item in answer["items"]] == expected["item_id"].to_list()
    close([item["score"] for item in answer["items"]], expected["score"].to_list(), "float32")


def test_a_service_moves_to_the_new_champion_and_takes_its_events_along(isolated_mlflow: IsolatedMlflow) -> None:
    client = MlflowClient()
    client.create_registered_model("recmem")
    for _ in range(2):
        run = client.create_run(isolated_mlflow.experiment_id)
        client.log_artifacts(run.info.run_id, str(trained_model().bundle), "model/artifacts/bundle")
        client.create_model_version("recmem", f"{run.info.artifact_uri}/model", run_id=run.info.run_id)
    client.set_registered_model_alias("recmem", "champion", "1")
    options = ("--model", "models:/recmem@champion", "--store", trained_model().store, "--follow-every", 0.1)
    item = trained_model().items["item_id"][0]
    asked = {"user_id": "somebody new", "items": [item]}
    with serving(*options, tracking=isolated_mlflow.tracking_uri) as ask:
        assert ask("/healthz")["model"] == "models:/recmem/1"
        ask("/events", {"events": [{"user_id": "somebody new", "item_id": item, "timestamp": "2027-01-01"}]})
        client.set_registered_model_alias("recmem", "champion", "2")
        wait_until(lambda: ask("/healthz")["model"] == "models:/recmem/2")
        answer = ask("/rank", asked)
    assert answer["model"] == "models:/recmem/2"
    assert not answer["unknown_user"]


def test_a_model_that_is_not_there_is_refused_before_anything_listens(tmp_path: Path) -> None:
    outcome = Outcome("serve", "--model", tmp_path / "absent")
    assert outcome.code == REFUSED
    assert "model: expected a folder with bundle.json" in outcome.err


def test_the_address_is_told_with_its_real_port_and_one_in_use_is_refused() -> None:
    options = ("serve", "--model", trained_model().bundle, "--store", trained_model().store, "--port")
    command = [sys.executable, "-c", COMMAND, *map(str, options)]
    with subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = re.search(r"http://127\.0\.0\.1:([1-9]\d*) ", process.stdout.readline())
            assert told is not None
            # It answers by then.
            with urllib.request.urlopen(f"http://127.0.0.1:{told[1]}/healthz", timeout=PATIENCE_S) as answer:
                assert answer.status == 200
            other = subprocess.run([*command, told[1]], capture_output=True, text=True, timeout=PATIENCE_S)
        finally:
            process.terminate()
    assert other.returncode == REFUSED
    assert other.stdout == ""
    assert "--port: expected an address that the service can listen at, got 127.0.0.1:" in other.stderr
    assert "0 for any free one" in other.stderr


def test_a_port_out_of_range_is_wrong_use(tmp_path: Path) -> None:
    assert Outcome("serve", "--model", tmp_path, "--port", "70000").code == WRONG_USE


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "recmem.server.listening", raising=False)
    outcome = Outcome("serve", "--model", tmp_path)
    assert outcome.code == REFUSED
    assert "pip install 'recmem[serve]'" in outcome.err
