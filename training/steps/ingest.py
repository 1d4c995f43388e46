"""The step `ingest`: appends the given tables to the store."""

from __future__ import annotations

from training.run import Run
from training.tables import STORE_TABLES
from training.tracking.step_run import StepRun

RECEIPTS = "receipts.txt"
STORE_DIGEST = "store_digest.txt"


def ingest(run: Run, step_run: StepRun) -> None:
    """Appends the tables that were given; rows that the store already has count as duplicates."""
    receipts = []
    for name, table in STORE_TABLES.items():
        frame = run.tables.read(name)
        if frame is not None:
            receipt = run.store.append(table, frame)
            receipts.append(str(receipt))
            step_run.log_metrics({f"{name}_new": receipt.n_new, f"{name}_rejected": receipt.n_rejected})
    folder = run.folder("ingest")
    digest = run.store.digest()
    (folder / RECEIPTS).write_text("\n".join(receipts) + "\n")
    (folder / STORE_DIGEST).write_text(digest)
    step_run.log_dataset(str(run.store.path), run.store.versions(), digest)


def store_changed_since_ingest(run: Run) -> str:
    """Empty if the store is new or as this run's last ingest left it, so that this may be reused; else a digest."""
    left = run.folder("ingest") / STORE_DIGEST
    digest = run.store.digest()
    # Without a digest this run has not ingested yet: what the store holds then is an input of the ingest.
    unchanged = digest == left.read_text() if left.is_file() else not len(run.store.items())
    return "" if unchanged else digest
