"""What a run logs, read back through MLflow's client."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from mlflow import MlflowClient

from conftest import IsolatedMlflow
from feature_store import Store
from feature_store.item_vectors import append_vectors, checked_vectors
from training.evaluation.ledger import Ledger, Lift, Protocol, Row
from training.tracking.tracker import Tracker

LEDGER = Ledger(
    protocol=Protocol(queries=2, catalogue=3, test_from="2024-01-01", candidates="catalogue"),
    rows=(Row("popularity", {"ndcg@10": 0.1, "auc": float("nan")}),),
    lift={"ndcg@10": Lift(0.2, 0.3, 0.1, (0.05, 0.15))},
    slices={},
    retrieval={"recall@200": 0.8},
)


@pytest.fixture
def client(isolated_mlflow: IsolatedMlflow) -> MlflowClient:
    return MlflowClient(isolated_mlflow.tracking_uri)


def artifact(client: MlflowClient, run_id: str, path: str) -> bytes:
    return Path(client.download_artifacts(run_id, path)).read_bytes()


def test_parameters_and_curves_come_back(client: MlflowClient, tmp_path: Path) -> None:
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_params(
            {"match": {"heads": 4, "rate": 0.1}, **{f"p{number}": number for number in range(150)}}
        )
        tracker.parent.log_curve("loss@fit", [3.0, float("nan"), 1.0])
    run_id = tracker.parent.run_id
    params = client.get_run(run_id).data.params
    assert (params["match.heads"], params["match.rate"], len(params)) == ("4", "0.1", 152)
    points = [(metric.step, metric.value) for metric in client.get_metric_history(run_id, "loss_at_fit")]
    assert points == [(1, 3.0), (3, 1.0)]


def test_curve_longer_than_one_batch_is_logged_whole(client: MlflowClient, tmp_path: Path) -> None:
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_curve("loss", [float(step) for step in range(2100)])
    assert [metric.step for metric in client.get_metric_history(tracker.parent.run_id, "loss")] == list(range(1, 2101))


def test_ledger_is_logged_as_figures_and_as_file(client: MlflowClient, tmp_path: Path) -> None:
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_ledger(LEDGER)
    assert client.get_run(tracker.parent.run_id).data.metrics == {
        "ndcg_at_10/popularity": 0.1,
        "lift/ndcg_at_10": 0.1,
        "lift_low/ndcg_at_10": 0.05,
        "lift_high/ndcg_at_10": 0.15,
        "recall_at_200/retrieval": 0.8,
    }
    assert json.loads(artifact(client, tracker.parent.run_id, "ledger.json"))["protocol"]["queries"] == 2


def test_figures_of_a_model_are_tied_to_it_and_to_the_table_of_the_test_queries(
    client: MlflowClient, tmp_path: Path
) -> None:
    store = Store.create(tmp_path / "store")
    store.append_items(pl.DataFrame({"item_id": ["a"], "title": ["A"]}))
    event = {"user_id": ["u"], "item_id": ["a"], "timestamp": [datetime(2024, 1, 1, tzinfo=UTC)]}
    store.append_events(pl.DataFrame(event))
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_dataset(store.path, store.versions(), store.digest())
        model = client.create_logged_model(tracker.experiment_id, source_run_id=tracker.parent.run_id)
        tracker.parent.log_ledger(LEDGER, model_id=model.model_id)
    tied = {metric.key: metric for metric in client.get_logged_model(model.model_id).metrics}
    lift = tied["lift/ndcg_at_10"]
    assert (lift.value, lift.dataset_name, lift.dataset_digest) == (0.1, "events", store.digest())


def test_names_and_values_that_mlflow_refuses_are_changed_and_none_is_lost(
    client: MlflowClient, tmp_path: Path
) -> None:
    kinds = {"price €": 1, "price $": 2, "a//b": 3}
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_params({"weights": kinds, "features": tuple(f"column_{n}" for n in range(900))})
        tracker.parent.log_metrics({f"psi/{kind}": float(weight) for kind, weight in kinds.items()})
        tracker.parent.set_tags({"note": "x" * 9000})
    logged = client.get_run(tracker.parent.run_id).data
    assert sorted(value for name, value in logged.params.items() if name.startswith("weights.")) == ["1", "2", "3"]
    assert sorted(logged.metrics.values()) == [1.0, 2.0, 3.0]
    assert logged.params["features"].startswith("('column_0', 'column_1', ")
    assert logged.params["features"].endswith(" characters)")
    assert len(logged.tags["note"]) == 8000


def test_texts_and_files_are_artifacts(client: MlflowClient, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("<p>")
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_text("a note", "note.txt")
        tracker.parent.log_artifact(report)
        tracker.parent.log_artifact(report, folder="figures")
    assert artifact(client, tracker.parent.run_id, "note.txt") == b"a note"
    assert artifact(client, tracker.parent.run_id, "figures/report.html") == b"<p>"
    assert artifact(client, tracker.parent.run_id, "report.html") == b"<p>"


def test_a_table_of_more_columns_than_mlflow_takes_is_logged_with_the_first_of_them(
    client: MlflowClient, tmp_path: Path
) -> None:
    store = Store.create(tmp_path / "store")
    columns = {f"{number:04}{'x' * 5000}": [1.5] for number in range(300)}
    store.append_items(pl.DataFrame({"item_id": ["a"], "title": ["A"], **columns}))
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_dataset(str(tmp_path / "store"), store.versions(), store.digest())
    (logged,) = client.get_run(tracker.parent.run_id).inputs.dataset_inputs
    assert '"item_id"' in logged.dataset.schema
    assert "0100xxx" in logged.dataset.schema
    assert "0299xxx" not in logged.dataset.schema


def test_data_is_logged_with_version_rows_and_digest(client: MlflowClient, tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    store.append_items(pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"]}))
    event = {"user_id": ["u"], "item_id": ["a"], "timestamp": [datetime(2024, 1, 1, tzinfo=UTC)]}
    store.append_events(pl.DataFrame(event))
    versions, digest = store.versions(), store.digest()
    store.append_items(pl.DataFrame({"item_id": ["c"], "title": ["C"]}))
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_dataset(str(tmp_path / "store"), versions, digest)
    run = client.get_run(tracker.parent.run_id)
    logged = {entry.dataset.name: entry.dataset for entry in run.inputs.dataset_inputs}
    assert set(logged) == {"items", "events"}
    assert {dataset.digest for dataset in logged.values()} == {digest}
    source = {"path": str(tmp_path / "store" / "items"), "delta_table_version": versions["items"]}
    assert (logged["items"].source_type, json.loads(logged["items"].source)) == ("delta_table", source)
    assert json.loads(logged["items"].profile)["num_rows"] == 2
    assert '"title"' in logged["items"].schema
    assert json.loads(run.data.tags["recmem.store_versions"]) == versions
    assert run.data.tags["recmem.store_digest"] == digest


def test_the_vectors_that_are_read_are_data_as_the_tables_are(client: MlflowClient, tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    store.append_items(pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"]}))
    for name, ids in (("ours", ["a", "b"]), ("others", ["a"])):
        vectors = pl.DataFrame({"item_id": ids, "vector": [[1.0, float(len(name))]] * len(ids)})
        append_vectors(store, checked_vectors(store, vectors, name))
    versions, digest = store.versions(), store.digest()
    with Tracker.start(tmp_path) as tracker:
        tracker.parent.log_dataset(store.path, versions, digest, vectors="ours")
    with Tracker.start(tmp_path) as without:
        without.parent.log_dataset(store.path, versions, digest)
    logged, unread = (
        {entry.dataset.name: entry.dataset for entry in client.get_run(each.parent.run_id).inputs.dataset_inputs}
        for each in (tracker, without)
    )
    assert (set(logged), set(unread)) == ({"items", "item_vectors"}, {"items"})
    assert json.loads(logged["item_vectors"].profile)["num_rows"] == 2
    assert json.loads(logged["item_vectors"].source)["delta_table_version"] == versions["item_vectors"]
    assert logged["item_vectors"].digest == digest
