"""The step `ingest`: appends the given tables to the store, and fixes what the later steps read."""

from __future__ import annotations

from feature_store.ingestion import append_tables, check_tables, require_matching_ids
from feature_store.warnings.unmatched_ids import require_matches
from training.intake import Intake
from training.run import INTAKE, Run
from training.tables import STORE_TABLES
from training.tracking.step_run import StepRun

RECEIPTS = "receipts.txt"


def ingest(run: Run, step_run: StepRun) -> None:
    """Appends the tables that were given, and leaves what was read."""
    intake = append_given(run)
    folder = run.folder("ingest")
    lines = [*intake.receipts, *intake.kinds, *intake.warnings, *intake.unmatched]
    (folder / RECEIPTS).write_text("\n".join(map(str, lines)) + "\n", encoding="utf-8")
    intake.write(folder / INTAKE)
    step_run.log_metrics(intake.metrics())
    step_run.log_dataset(str(run.store.path), intake.versions, intake.digest)


def append_given(run: Run) -> Intake:
    """Appends the tables that were given; rows that the store already has count as duplicates.

    All tables are checked first, and that their ids meet: if one is refused, nothing is written.
    """
    features = run.config.features
    read = {
        table.with_features(features): run.tables.read(name, features if table.keeps_features else ())
        for name, table in STORE_TABLES.items()
    }
    frames = {table: frame for table, frame in read.items() if frame is not None}
    require_matching_ids(run.store, check_tables(run.store, frames))
    signals = run.config.signals
    receipts = append_tables(run.store, frames, signals=signals)
    intake = Intake.of(run.store, receipts, signals, features, run.config.users)
    require_matches(intake.unmatched)
    return intake


def store_changed_since_ingest(run: Run) -> str:
    """Empty if the store is new or as this run's last ingest left it, so that this may be reused; else a digest."""
    digest = run.store.digest()
    left = run.kept_intake()
    # Without an intake this run has not ingested yet: what the store holds then is an input of the ingest.
    unchanged = digest == left.digest if left else not len(run.store.items())
    return "" if unchanged else digest
