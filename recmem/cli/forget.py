"""`recmem forget`: a user or an item, gone for good."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from recmem.cli.console import say
from recmem.cli.publish import PATIENCE

_BESIDE = "mlflow.db"
"""Where `recmem train --out OUT` tracks, beside its store OUT/store."""


def forget(
    store: Annotated[str, typer.Option(help="The store: a folder, or an object store's URL.")],
    user: Annotated[str | None, typer.Option(help="The user's id.")] = None,
    item: Annotated[str | None, typer.Option(help="The item's id.")] = None,
    online: Annotated[
        str | None,
        typer.Option(help="Online memories too: redis://host:port/db[#name].", show_default="none"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="A JSON file for the receipt.", show_default="none is written")
    ] = None,
    tracking: Annotated[
        str | None,
        typer.Option(help="MLflow's tracking URI, for the models.", show_default="mlflow.db beside the store"),
    ] = None,
) -> None:
    """Forget a user or an item: its rows, every old version of the tables, cached vectors of its text, memories.

    Afterwards no file of the store holds the id. Models keep what they have learned: those that were trained on it are
    named, so that they can be trained anew. Files outside the store, such as scores, are the caller's.
    """
    if (user is None) == (item is None):
        raise typer.BadParameter("give --user or --item, one of them.")
    import mlflow

    from feature_store import Store
    from feature_store.atomic_files import write_text_atomically
    from recmem.audit.forgetting import forget_item, forget_user
    from recmem.dataset.shared_memories import RedisMemories

    opened = Store.open(store)
    beside = Path(opened.path).with_name(_BESIDE)
    if tracking is not None or (beside.is_file() and "MLFLOW_TRACKING_URI" not in os.environ):
        mlflow.set_tracking_uri(tracking or f"sqlite:///{beside}")
    if not yes:
        typer.confirm("This cannot be undone, and old versions of the tables go with it. Go on?", abort=True, err=True)
    memories = None if online is None else RedisMemories(online, timeout=PATIENCE)
    receipt = forget_user(opened, user, memories) if user is not None else forget_item(opened, item, memories)
    for table, n_rows in receipt.rows.items():
        say(f"{table}: {n_rows:,} rows removed")
    if item is not None:
        say(f"vectors: {receipt.vectors:,} removed")
    if receipt.online is not None:
        say(f"online: {receipt.online:,} removed")
    for model in receipt.models:
        say(f"Trained on it: {model}. Train anew, then delete that version.")
    if receipt.note:
        say(f"Registered models: {receipt.note}")
    if out is not None:
        write_text_atomically(out, receipt.to_json())
