"""The step `ingest`: appends the given tables to the store, and fixes what the later steps read."""

from __future__ import annotations

import polars as pl

from feature_store import ITEMS, Store
from feature_store.ingestion import append_tables, check_tables, require_matching_ids, vectors_of
from feature_store.item_vectors import append_vectors
from feature_store.schema import FACTS
from feature_store.warnings.unmatched_ids import require_matches
from training.intake import Intake, intake_of
from training.knowledge import require_subjects
from training.run import INTAKE, Run
from training.tables import STORE_TABLES
from training.tracking.step_run import StepRun

RECEIPTS = "receipts.txt"


def ingest(run: Run, step_run: StepRun) -> None:
    """Appends the tables that were given, and leaves what was read."""
    intake = append_given(run)
    folder = run.folder("ingest")
    lines = [*intake.receipts, *intake.kinds, *intake.used, *intake.warnings, *intake.unmatched]
    (folder / RECEIPTS).write_text("\n".join(map(str, lines)) + "\n", encoding="utf-8")
    intake.write(folder / INTAKE)
    step_run.log_metrics(intake.metrics())
    step_run.log_dataset(str(run.store.path), intake.versions, intake.digest, vectors=run.config.vectors_name)


def append_given(run: Run) -> Intake:
    """Appends the tables that were given; rows that the store already has count as duplicates.

    All tables are checked first, and that their ids meet: if one is refused, nothing is written.
    """
    features = run.config.features
    name = run.config.vectors_name
    read = {
        (table.without_texts() if name else table).with_features(features): run.tables.read(
            key, features if table.keeps_features else ()
        )
        for key, table in STORE_TABLES.items()
    }
    frames = {table: frame for table, frame in read.items() if frame is not None}
    given = run.tables.read_vectors()
    vectors, faults = (None, []) if given is None else vectors_of(run.store, given, name, frames)
    checked = check_tables(run.store, frames, faults=faults)
    require_matching_ids(run.store, checked)
    if FACTS in checked:
        items = [run.store.items(), *([checked[ITEMS].kept] if ITEMS in checked else [])]
        ids = pl.concat([frame["item_id"].cast(pl.String) for frame in items])
        require_subjects(ids, checked[FACTS].kept["subject"])
    Store.open_or_create(run.store.path)
    receipts = append_tables(run.store, frames, signals=run.config.signals)
    if vectors is not None:
        receipts = (*receipts, append_vectors(run.store, vectors))
    intake = intake_of(run.store, receipts, run.config)
    require_matches(intake.unmatched)
    return intake


def store_changed_since_ingest(run: Run) -> str:
    """Empty if the store is new or as this run's last ingest left it, so that this may be reused; else a digest."""
    digest = run.store.digest()
    left = run.kept_intake()
    # Without an intake this run has not ingested yet: what the store holds then is an input of the ingest.
    unchanged = digest == left.digest if left else not len(run.store.items())
    return "" if unchanged else digest
