"""Two trainings on the same two files, tracked in a database of their own; the second has reused every step."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

import mlflow

import nightly_log
from training.pipeline import run_training
from training.progress import Silent

N_DAYS = nightly_log.FIRST_DAYS + 1
VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
"""With one of these set, trainings are tracked elsewhere than in their folder."""


@functools.cache
def trained() -> Path:
    """The folder of the trainings, made once per process: tests must not change it."""
    folder = Path(tempfile.mkdtemp(prefix="recmem-tracked-training-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tables = {"items": folder / "shop" / "items.parquet", "events": folder / "shop" / "events.parquet"}
    tables["items"].parent.mkdir()
    nightly_log.items().write_parquet(tables["items"])
    nightly_log.events_of(N_DAYS).write_parquet(tables["events"])
    unset = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(None)
    with patch.dict(os.environ, unset, clear=True):
        for _ in range(2):
            run_training(
                **{name: str(path) for name, path in tables.items()},
                impressions=None,
                out=folder / "run",
                store=None,
                config=nightly_log.settings(name="shop"),
                progress=Silent(),
            )
    mlflow.set_tracking_uri(before)
    return folder / "run"
