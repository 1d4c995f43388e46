"""`recmem forget`: deletes a user or an item for good."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.console import complain, say
from recmem.cli.error_handling import UsageError
from recmem.cli.options import ONLINE_TIMEOUT_S, StoreFolder

if TYPE_CHECKING:
    from recmem.forgetting.forget import ForgetReceipt

MOST_FILES = 10
"""Files with the id that are shown."""


def forget(
    store: StoreFolder,
    user: Annotated[
        str | None, typer.Option(metavar="ID", help="Id of the user to delete. One of --user and --item is required.")
    ] = None,
    item: Annotated[str | None, typer.Option(metavar="ID", help="Id of the item to delete.")] = None,
    online: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Redis to delete from as well: redis://host:port/db[#name].", show_default="no Redis"
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Write a receipt (without the id) to this JSON file."),
    ] = None,
    tracking: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="MLflow server or database with the models that were trained on this store.",
            show_default="MLFLOW_TRACKING_URI, else mlflow.db beside the store",
        ),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="OUT",
            help="Folder of a training on this store; repeat it for several. Its cached text vectors are deleted too, "
            "and its files that hold the id are listed.",
            show_default="OUT, if the store is OUT/store",
        ),
    ] = None,
) -> None:
    """Delete a user or an item for good.

    Deletes its rows, old versions of the tables, cached text vectors, the item-item models that are kept and, with
    --online, its shared memories.
    Afterwards every file of the store is searched: none contains the id. Models keep what they have learned: the
    registered models that were trained on this data are listed, so that you can retrain them. Files outside the store
    stay; those of a training that contain the id, such as its report, are listed.
    """
    if (user is None) == (item is None):
        got = "neither" if user is None else "both"
        raise UsageError(f"--user, --item: expected one of them, got {got}. Name a user or an item.")
    from feature_store import Store
    from feature_store.addresses import without_secrets
    from feature_store.atomic_files import write_text_atomically
    from recmem.dataset.shared_memories import RedisMemories
    from recmem.forgetting.forget import forget_item, forget_user
    from recmem.forgetting.run_files import run_beside
    from recmem.serving.registry import SQLITE, TRACKING_FILE

    opened = Store.open(store)
    runs = _runs(run, run_beside(opened))
    kind, forgotten = ("user", user) if user is not None else ("item", item)
    shown = without_secrets(opened.path)
    if not yes:
        question = f"Delete the {kind} {forgotten!r} and all old table versions from {shown}? This cannot be undone."
        typer.confirm(question, abort=True, err=True)
    if tracking is None and "MLFLOW_TRACKING_URI" not in os.environ and "://" not in opened.path:
        # `recmem train --out OUT` tracks runs beside its store OUT/store.
        tracking = f"{SQLITE}{Path(opened.path).with_name(TRACKING_FILE)}"
    memories = None if online is None else RedisMemories(online, timeout=ONLINE_TIMEOUT_S)
    forget_id = forget_user if user is not None else forget_item
    receipt = forget_id(opened, forgotten, memories, tracking_uri=tracking, runs=runs)
    if not any(receipt.rows.values()):
        say(f"No rows contain the {kind} {forgotten!r}.")
    _show(receipt)
    if out is not None:
        write_text_atomically(out, receipt.to_json())
        say(f"Wrote the receipt to {out}.")


def _runs(given: list[Path] | None, beside: Path | None) -> list[Path]:
    """Folders of trainings: those that were given, and the one beside the store."""
    from recmem.forgetting.run_files import is_run

    for folder in given or ():
        if not is_run(folder):
            raise UsageError(f"--run: expected the folder OUT of a training, got {folder}. Check the path.")
    folders = [*(given or ()), *([] if beside is None else [beside])]
    return list(dict.fromkeys(folder.absolute() for folder in folders))


def _show(receipt: ForgetReceipt) -> None:
    for table, n_rows in receipt.rows.items():
        say(f"{table}: {n_rows:,} rows deleted.")
    if receipt.what == "item":
        say(f"text vectors: {receipt.vectors:,} deleted.")
    if receipt.online is not None:
        say(f"shared memories: {receipt.online:,} entries deleted.")
    say(f"registered models: {receipt.registered_models}.")
    for model in receipt.models:
        say(f"Trained on this data: {model}. Retrain, then delete that version.")
    for column, n_rows in receipt.mentions.items():
        complain(f"{column}: {n_rows:,} rows of others mention the id and stay. Correct them if they should not.")
    for path in receipt.files[:MOST_FILES]:
        complain(f"Holds the id and stays: {path}. Delete it, or train again where a training writes it anew.")
    if len(receipt.files) > MOST_FILES:
        complain(f"{len(receipt.files) - MOST_FILES:,} more files hold the id. --out lists them all.")
    if receipt.note:
        complain(f"No models were checked: {receipt.note}")
