"""A whole run, from tables to a registered model: its outputs, reproducibility, reuse of steps, and `mlflow run`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import polars as pl
import pytest
import torch

import small_training
from torch_threads import torch_threads
from training.config import TrainingConfig
from training.configuration.effective import effective_config
from training.evaluation.evaluate import evaluate_rankings
from training.evaluation.ledger import WITH_MATCH, WITH_SIMILARITY, WITHOUT_MATCH
from training.pipeline import STEPS, run_training
from training.progress import Silent
from training.run import Run, TrainingResult, open_run
from training.tables import Tables
from training.training_data import ranking_data, read_training_data

ROWS = [
    "popularity",
    "recent_popularity",
    "covisitation",
    "text_similarity",
    "match_score",
    WITHOUT_MATCH,
    WITH_SIMILARITY,
    WITH_MATCH,
]


@pytest.fixture(autouse=True)
def default_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are tracked in their own folder, whatever the environment is."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


def train(folder: Path, out: str) -> TrainingResult:
    items, events = small_training.write_tables(folder / "tables")
    return run_training(
        items=str(items),
        events=str(events),
        impressions=None,
        out=folder / out,
        store=None,
        config=TrainingConfig(),
        progress=Silent(),
    )


def trained_run() -> Run:
    folder = small_training.trained() / "run"
    return open_run(Tables(), folder, None, TrainingConfig(), Silent())


def test_same_seed_gives_the_same_ledger_byte_for_byte_on_any_number_of_threads(tmp_path: Path) -> None:
    first = small_training.trained() / "run"
    with torch_threads(torch.get_num_threads() + 3):
        again = train(tmp_path, "again")
    assert (again.out / "ledger.json").read_bytes() == (first / "ledger.json").read_bytes()


def test_ledger_has_its_documented_keys() -> None:
    ledger = json.loads((small_training.trained() / "run" / "ledger.json").read_text())
    measured = {"rows", "lift", "slices", "retrieval", "parts"}
    assert set(ledger) == {"version", "protocol", "ships", "held_out", "seeds"} | measured
    assert {"queries", "catalogue", "test_from", "candidates"} <= set(ledger["protocol"])
    assert set(ROWS) == {row["name"] for row in ledger["rows"]}
    assert all({"ndcg@10", "recall@10", "mrr", "auc"} <= set(row) for row in ledger["rows"])
    assert set(ledger["lift"]["ndcg@10"]) == {"without", "with", "difference", "ci95"}
    assert 0 <= ledger["retrieval"]["recall@200"] <= 1


def test_second_run_reuses_every_step_of_the_first(tmp_path: Path) -> None:
    first = train(tmp_path, "out")
    second = train(tmp_path, "out")
    assert [receipt.n_new for receipt in second.receipts] == [21, 180]
    assert (first.intake.reused, second.intake.reused) == (False, True)
    assert second.intake.as_reused() == first.intake.as_reused()
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'out' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("recmem")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    newest = [run for run in runs if "recmem.step" in run.data.tags][: len(STEPS)]
    assert {run.data.tags["recmem.step"] for run in newest} == set(STEPS)
    assert [run.data.tags["recmem.step"] for run in newest if "recmem.reused_from" not in run.data.tags] == []
    parents = [run for run in runs if "recmem.step" not in run.data.tags]
    for run in parents:
        assert (run.data.metrics["rows_read/events"], run.data.metrics["rows_rejected/events"]) == (180, 0)
        kept = client.download_artifacts(run.info.run_id, "intake.json", str(tmp_path))
        assert [receipt["n_new"] for receipt in json.loads(Path(kept).read_text())["receipts"]] == [21, 180]
    assert len(parents) == 2
    # The report stays that of the run which registered the version, and both runs have it.
    page = first.report.read_text()
    assert "recmem, version 1" in page
    assert parents[1].info.run_id in page
    assert "reused from an earlier run" not in page
    for run in parents:
        kept = client.download_artifacts(run.info.run_id, "report.html", str(tmp_path))
        assert Path(kept).read_text() == page
    assert (first.version, second.version) == ("1", "1")
    assert [version.version for version in client.search_model_versions("name = 'recmem'")] == [1]
    assert second.registration == (
        "Nothing has changed since version 1 of recmem was registered: there is no new version. It is the champion."
    )
    assert second.verdict == first.verdict


class Shuffled:
    """The store of a run, with the items of the test period's events shuffled."""

    def __init__(self, run: Run, test_from: int) -> None:
        self._store = run.store
        self._test_from = test_from
        self.path = run.store.path

    def events(self) -> pl.DataFrame:
        events = self._store.events().sort("user_id", "timestamp", "item_id")
        late = events["timestamp"].dt.epoch("us") > self._test_from
        shuffled = events.filter(late).with_columns(pl.col("item_id").shuffle(seed=1))
        return pl.concat([events.filter(~late), shuffled])

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_shuffling_the_items_of_the_test_period_changes_no_feature_before_it() -> None:
    run = trained_run()
    split = run.training_data.split
    shuffled = read_training_data(Shuffled(run, split.test_from), run.config, encoder=run.encoder)  # type: ignore[arg-type]
    assert shuffled.split == split
    pairs = []
    for training_data in (run.training_data, shuffled):
        _, data = ranking_data(training_data, run.matcher("base"), split.ranker_from, split.test_from, 100, run.config)
        pairs.append(data.pairs)
    assert pairs[0].candidates == pairs[1].candidates
    for name, feature in pairs[0].values.items():
        assert feature.tobytes() == pairs[1].values[name].tobytes(), name


def test_evaluating_twice_gives_the_same_figures() -> None:
    run = trained_run()
    rankers = {name: run.ranker(name) for name in (WITHOUT_MATCH, WITH_MATCH)}
    ledgers = [
        evaluate_rankings(
            run.training_data, run.matcher("final"), rankers, "similarity_max", run.config
        ).ledger.to_json()
        for _ in range(2)
    ]
    assert ledgers[0] == ledgers[1]


@pytest.mark.timeout(280)
def test_mlflow_run_tracks_a_parent_with_a_child_per_step(tmp_path: Path) -> None:
    items, events = small_training.write_tables(tmp_path / "tables")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = mlflow.MlflowClient(uri)
    experiment = client.create_experiment("project", artifact_location=str(tmp_path / "artifacts"))
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    project = Path(__file__).parents[2] / "mlflow_projects"
    command = [sys.executable, "-m", "mlflow", "run", str(project), "-e", "main", "--env-manager", "local"]
    command += ["--experiment-id", experiment, "-P", f"items={items}", "-P", f"events={events}"]
    (tmp_path / "my.toml").write_text("seed = 1\nrefit = false\n[ranker]\nleaves = 5\nrounds = 20\n")
    given = {"config": tmp_path / "my.toml", "set": "ranker.leaves=9; seed=2", "seed": "3", "out": tmp_path / "out"}
    for name, value in given.items():
        command += ["-P", f"{name}={value}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    runs = client.search_runs([experiment])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parents[0].info.run_id]
    assert {run.data.tags["recmem.step"] for run in children} == set(STEPS)
    assert int(client.get_model_version_by_alias("recmem", "challenger").version) == 1
    config = effective_config(tmp_path / "out" / "recmem.toml")
    assert (config.seed, config.refit, config.ranker.leaves, config.ranker.rounds) == (3, False, 9, 20)
    logged = [parents[0].data.params[name] for name in ("training.seed", "training.refit", "ranker.leaves")]
    assert logged == ["3", "False", "9"]
