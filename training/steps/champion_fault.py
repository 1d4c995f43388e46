"""Why the champion could not be loaded or scored, in words that may be shown and kept."""

from __future__ import annotations

from mlflow import MlflowClient

from feature_store.addresses import redact
from training.run import Run

_LONGEST = 300


def champion_fault(error: Exception, run: Run, client: MlflowClient) -> str:
    """An error's first line without secrets of addresses and without a full stop; its type if it says nothing."""
    text = redact(str(error), addresses=[client.tracking_uri, run.store.path]).strip() or type(error).__name__
    return text.partition("\n")[0][:_LONGEST].rstrip(".")
