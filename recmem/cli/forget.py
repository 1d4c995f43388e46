"""`recmem forget`: a user or an item, deleted for good."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from recmem.cli.console import say
from recmem.cli.options import ONLINE_TIMEOUT_S, StoreFolder

_TRACKING_FILE = "mlflow.db"
"""Where `recmem train --out OUT` tracks runs, beside its store OUT/store."""


def forget(
    store: StoreFolder,
    user: Annotated[str | None, typer.Option(help="The user's id.")] = None,
    item: Annotated[str | None, typer.Option(help="The item's id.")] = None,
    online: Annotated[
        str | None,
        typer.Option(help="Delete from Redis too: redis://host:port/db[#name].", show_default="no Redis"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the receipt to this JSON file.", show_default="none")] = None,
    tracking: Annotated[
        str | None,
        typer.Option(
            help="MLflow tracking URI of the models trained on this store.", show_default="mlflow.db beside the store"
        ),
    ] = None,
) -> None:
    """Delete a user or an item: its rows, old versions of the tables, cached text vectors, and shared memories.

    Afterwards no file of the store contains the id. Models keep what they have learned; the registered models that were
    trained on this data are listed, so that you can retrain them. Files outside the store, such as scores, stay.
    """
    if (user is None) == (item is None):
        raise typer.BadParameter("--user, --item: expected one of them, got none or both. Name a user or an item.")
    import mlflow

    from feature_store import Store
    from feature_store.atomic_files import write_text_atomically
    from recmem.audit.forgetting import forget_item, forget_user
    from recmem.dataset.shared_memories import RedisMemories

    opened = Store.open(store)
    beside = Path(opened.path).with_name(_TRACKING_FILE)
    if tracking is not None or (beside.is_file() and "MLFLOW_TRACKING_URI" not in os.environ):
        mlflow.set_tracking_uri(tracking or f"sqlite:///{beside}")
    if not yes:
        question = "This cannot be undone and also deletes old versions of the tables. Continue?"
        typer.confirm(question, abort=True, err=True)
    memories = None if online is None else RedisMemories(online, timeout=ONLINE_TIMEOUT_S)
    receipt = forget_user(opened, user, memories) if user is not None else forget_item(opened, item, memories)
    for table, n_rows in receipt.rows.items():
        say(f"{table}: {n_rows:,} rows deleted")
    if item is not None:
        say(f"text vectors: {receipt.vectors:,} deleted")
    if receipt.online is not None:
        say(f"shared memories: {receipt.online:,} deleted")
    for model in receipt.models:
        say(f"Trained on this data: {model}. Retrain, then delete that version.")
    if receipt.note:
        say(f"Registered models: {receipt.note}")
    if out is not None:
        write_text_atomically(out, receipt.to_json())
