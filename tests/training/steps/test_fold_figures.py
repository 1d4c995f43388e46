"""A training with two folds: figures of both, and of the first model on the second's queries."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import numpy as np
import polars as pl
import pytest

import small_training
from feature_store.timestamps import iso_time
from recmem.serving.bundle import read_config
from recmem.serving.model import Model
from training.api import train
from training.evaluation.ledger import HEADLINE_METRIC, Ledger
from training.evaluation.metrics import mean_over_queries
from training.evaluation.queries_after_training import QueriesAfterTraining
from training.run import TrainingResult
from training.steps.evaluate import BUNDLE


def spread_events() -> pl.DataFrame:
    """Each event at a time of its own: the small training's few dates leave no room for two test windows."""
    events = small_training.events().sort("timestamp", "user_id")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return events.with_columns(timestamp=pl.lit(start) + pl.int_range(pl.len()) * timedelta(hours=1))


@functools.cache
def trained() -> TrainingResult:
    folder = Path(tempfile.mkdtemp(prefix="recmem-folds-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    events = spread_events()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
            patch.delenv(name, raising=False)
        return train(small_training.items(), events, out=folder / "run", folds=2)


def work(fold: int) -> Path:
    run = trained().out
    return (run if fold == 2 else run / "folds" / str(fold)) / "work"


def test_each_fold_has_the_lift_of_its_own_ledger() -> None:
    result = trained()
    assert result.folds is not None
    for number, fold in enumerate(result.folds.folds, start=1):
        ledger = Ledger.from_json((work(number) / "evaluate" / "ledger.json").read_text())
        assert fold.lift == ledger.lift[HEADLINE_METRIC]
        assert (fold.queries, fold.test_from) == (ledger.protocol.queries, ledger.protocol.test_from)
    assert result.folds.folds[-1].lift == result.ledger.lift[HEADLINE_METRIC]


def test_the_first_folds_model_is_refitted_up_to_the_second_windows_begin_and_no_further() -> None:
    refitted = read_config(work(1) / "refit" / BUNDLE)
    measured_second = read_config(work(2) / "evaluate" / BUNDLE)
    assert refitted.learned_until == measured_second.learned_until
    assert trained().folds is not None
    assert trained().folds.folds[0].test_until == iso_time(refitted.learned_until)  # type: ignore[union-attr]


def test_the_earlier_model_ranks_the_queries_of_the_later_window() -> None:
    folds = trained().folds
    assert folds is not None
    earlier = folds.folds[1].earlier
    assert earlier is not None
    model = Model.load(work(1) / "evaluate" / BUNDLE, store=trained().out / "store")
    begin = read_config(work(2) / "evaluate" / BUNDLE).learned_until
    later = QueriesAfterTraining.of(model, 4000, begin=begin)
    assert len(later.queries) == folds.folds[1].queries
    assert (later.queries.times > begin).all()
    # As a reader would do it: each query's whole catalogue, through the model.
    figures = []
    users = model.dataset.users.gather(later.queries.users).to_list()
    ids = model.dataset.catalogue.ids
    for row, user in enumerate(users):
        at = pl.Series([later.queries.times[row]]).cast(pl.Datetime("us", "UTC"))[0]
        top = model.recommend([user], k=10, timestamp=at)["item_id"].to_list()
        positives = ids.gather(later.queries.positives.row(row)).to_list()
        gain = sum(1 / np.log2(2 + top.index(item)) for item in positives if item in top)
        figures.append(gain / sum(1 / np.log2(2 + place) for place in range(len(positives))))
    assert mean_over_queries(np.array(figures)) == pytest.approx(earlier.measured, abs=1e-5)


def test_folds_are_written_and_logged_and_shown_in_the_report() -> None:
    result = trained()
    document = json.loads((result.out / "folds.json").read_text())
    assert len(document["folds"]) == 2
    assert "The same training on earlier test windows" in result.report.read_text()
    client = mlflow.MlflowClient(f"sqlite:///{result.out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("recmem")
    runs = client.search_runs([experiment.experiment_id])
    steps = {run.data.tags.get("recmem.step"): run for run in runs}
    assert {"fold 1 match", "fold 1 refit", "folds"} <= set(steps)
    (parent,) = (run for run in runs if run.data.tags.get("recmem.run") == "training")
    for run in (steps["folds"], parent):
        mean = run.data.metrics["folds_lift_mean/ndcg_at_10"]
        assert mean == pytest.approx(document["mean_lift"], abs=1e-6)
        lifts = client.get_metric_history(run.info.run_id, "folds_lift/ndcg_at_10")
        expected = [(number, fold["lift"]["difference"]) for number, fold in enumerate(document["folds"], start=1)]
        assert [(metric.step, metric.value) for metric in lifts] == expected
    assert "folds.json" in {file.path for file in client.list_artifacts(parent.info.run_id)}


def test_a_second_run_with_folds_trains_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    out = trained().out
    written = [path for path in out.rglob("*.safetensors") if "mlartifacts" not in path.parts]
    before = {path: path.stat().st_mtime_ns for path in written}
    again = train(store=out / "store", out=out, folds=2)
    assert {path: path.stat().st_mtime_ns for path in written} == before
    assert again.folds == trained().folds


def shown_items(events: pl.DataFrame) -> pl.DataFrame:
    """Every event from a click on one of four items that were shown."""
    random = np.random.default_rng(0)
    items = small_training.items()["item_id"].to_list()
    rows = []
    for number, (user, item, time) in enumerate(events.select("user_id", "item_id", "timestamp").iter_rows()):
        others = [str(other) for other in random.choice(items, 3, replace=False) if other != item]
        rows += [(f"i{number}", user, time, shown, int(shown == item)) for shown in [item, *others]]
    columns = ["impression_id", "user_id", "timestamp", "item_id", "label"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def test_impressions_are_folded_and_refitted_on_in_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    events = spread_events()
    shown = shown_items(events)
    result = train(small_training.items(), events, impressions=shown, out=tmp_path / "run", folds=2)
    assert result.folds is not None
    first, second = result.folds.folds
    assert result.ledger.protocol.candidates == "impressions"
    assert first.test_until == second.test_from
    assert second.earlier is not None
    assert second.earlier.refitted is not None
    refitted = read_config(result.bundle)
    assert iso_time(refitted.learned_until) == shown["timestamp"].max().isoformat()  # type: ignore[union-attr]
    assert read_config(result.measured_bundle).learned_until < refitted.learned_until
