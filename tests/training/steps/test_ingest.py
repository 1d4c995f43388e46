from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from mlflow import MlflowClient

import small_training
from conftest import IsolatedMlflow
from training.config import TrainingConfig
from training.progress import Silent
from training.run import Run, open_run
from training.steps.encode import encode
from training.steps.ingest import ingest, store_changed_since_ingest
from training.tables import Tables
from training.tracking.tracker import Tracker


def ingested(folder: Path, events: pl.DataFrame) -> tuple[Run, str]:
    """A run after the step, and the id of its run in MLflow."""
    tables = Tables.of(small_training.items(), events, None)
    run = open_run(tables, folder / "out", None, TrainingConfig(), Silent())
    with Tracker.start(folder) as tracker:
        ingest(run, tracker.parent)
        return run, tracker.parent.run_id


def test_ingest_counts_new_and_rejected_rows(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
    events = small_training.events()
    nameless = events[:2].with_columns(user_id=pl.lit(None, pl.String))
    run, run_id = ingested(tmp_path, pl.concat([events, nameless]))
    metrics = MlflowClient(isolated_mlflow.tracking_uri).get_run(run_id).data.metrics
    assert (metrics["items_new"], metrics["items_rejected"]) == (21, 0)
    assert (metrics["events_new"], metrics["events_rejected"]) == (180, 2)
    assert "events: 180 new" in (run.folder("ingest") / "receipts.txt").read_text()


def test_ingest_can_be_reused_until_the_store_changes(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
    run, _ = ingested(tmp_path, small_training.events())
    assert store_changed_since_ingest(run) == ""
    run.store.append_items(pl.DataFrame({"item_id": ["new"], "title": ["A new library"]}))
    assert store_changed_since_ingest(run) == run.store.digest()


def test_ingest_into_a_new_store_has_nothing_before_it(tmp_path: Path) -> None:
    run = open_run(Tables.of(small_training.items(), None, None), tmp_path / "out", None, TrainingConfig(), Silent())
    assert store_changed_since_ingest(run) == ""
    run.store.append_items(small_training.items())
    assert store_changed_since_ingest(run) == run.store.digest()


@pytest.mark.parametrize("n_unknown", [0, 3])
def test_events_of_unknown_items_are_counted(isolated_mlflow: IsolatedMlflow, tmp_path: Path, n_unknown: int) -> None:
    events = small_training.events()
    unknown = events[:n_unknown].with_columns(item_id=pl.lit("no-such-item"))
    run, _ = ingested(tmp_path, pl.concat([events, unknown]))
    with Tracker.start(tmp_path) as tracker:
        encode(run, tracker.parent)
    assert run.training_data.events_of_unknown_items == n_unknown
    metrics = MlflowClient(isolated_mlflow.tracking_uri).get_run(tracker.parent.run_id).data.metrics
    assert metrics["events_of_unknown_items"] == n_unknown
