from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from mlflow import MlflowClient

import small_training
from conftest import IsolatedMlflow
from feature_store import DataError, Store
from training.config import TrainingConfig
from training.pipeline import step_key_of
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
    assert (metrics["rows_new/items"], metrics["rows_rejected/items"]) == (21, 0)
    assert (metrics["rows_new/events"], metrics["rows_rejected/events"]) == (180, 2)
    receipts = (run.folder("ingest") / "receipts.txt").read_text()
    assert "events: 180 new" in receipts
    assert "2 x user_id: expected an id, got null" in receipts


def test_receipts_and_unmatched_rows_are_kept_for_later_steps(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
    events = small_training.events()
    spaced = events.head(3).with_columns(pl.col("item_id") + " ")
    run, run_id = ingested(tmp_path, pl.concat([events, spaced]))
    kept = run.kept_intake()
    assert kept is not None
    assert [receipt.table for receipt in kept.receipts] == ["items", "events"]
    (unmatched,) = kept.unmatched
    assert (unmatched.n_unmatched, unmatched.cause) == (3, "white space or invisible characters")
    assert kept.n_items_without_events == 0
    assert kept.versions == run.store.versions()
    metrics = MlflowClient(isolated_mlflow.tracking_uri).get_run(run_id).data.metrics
    assert (metrics["rows_unmatched/events.item_id"], metrics["items_without_events"]) == (3, 0)


def test_nothing_is_written_where_one_of_the_tables_is_refused(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"events\.timestamp: expected the column"):
        ingested(tmp_path, small_training.events().drop("timestamp"))
    assert not (tmp_path / "out" / "store").exists()


def test_nothing_is_written_where_no_event_names_an_item(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"events\.item_id: expected ids of items.* Likely cause: the prefix 'shop/'"):
        ingested(tmp_path, small_training.events().with_columns(item_id="shop/" + pl.col("item_id")))
    assert not (tmp_path / "out" / "store").exists()


def test_a_store_whose_ids_never_meet_is_refused_without_tables(
    isolated_mlflow: IsolatedMlflow, tmp_path: Path
) -> None:
    store = Store.create(tmp_path / "store")
    store.append_items(small_training.items())
    store.append_events(small_training.events().with_columns(pl.col("item_id").str.to_uppercase()))
    run = open_run(Tables(), tmp_path / "out", store.path, TrainingConfig(), Silent())
    with Tracker.start(tmp_path) as tracker, pytest.raises(DataError, match="Likely cause: upper and lower case"):
        ingest(run, tracker.parent)


def test_what_others_append_after_the_ingest_is_not_read(isolated_mlflow: IsolatedMlflow, tmp_path: Path) -> None:
    run, _ = ingested(tmp_path, small_training.events())
    key = step_key_of(run, "encode")
    run.store.append_items(pl.DataFrame({"item_id": ["new"], "title": ["A new library"], "price": [1]}))
    in_another_process = open_run(Tables(), run.out, None, run.config, Silent())
    for reader in (run, in_another_process):
        assert len(reader.pinned.items()) == 21
        assert step_key_of(reader, "encode") == key
    with Tracker.start(tmp_path) as tracker:
        ingest(open_run(run.tables, run.out, None, run.config, Silent()), tracker.parent)
    assert len(open_run(Tables(), run.out, None, run.config, Silent()).pinned.items()) == 22


def test_steps_without_an_ingest_fix_the_versions_for_each_other(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "store")
    store.append_items(small_training.items())
    first = open_run(Tables(), tmp_path / "out", store.path, TrainingConfig(), Silent())
    versions = first.pinned.versions()
    store.append_events(small_training.events())
    assert open_run(Tables(), tmp_path / "out", store.path, TrainingConfig(), Silent()).pinned.versions() == versions


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
def test_events_of_unknown_items_count_once(isolated_mlflow: IsolatedMlflow, tmp_path: Path, n_unknown: int) -> None:
    events = small_training.events()
    unknown = events[:n_unknown].with_columns(item_id=pl.lit("no-such-item"))
    run, _ = ingested(tmp_path, pl.concat([events, unknown]))
    with Tracker.start(tmp_path) as tracker:
        encode(run, tracker.parent)
    assert run.training_data.events_of_unknown_items == n_unknown
    assert run.intake.metrics().get("rows_unmatched/events.item_id", 0) == n_unknown
    logged = MlflowClient(isolated_mlflow.tracking_uri).get_run(tracker.parent.run_id).data
    assert (logged.metrics, set(logged.params)) == ({"texts": 21}, {"encoder.fingerprint", "encoder.dim"})
