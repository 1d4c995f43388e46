"""`recmem ingest`: rows added to a store."""

from __future__ import annotations

from typing import Annotated

import typer

from recmem.cli.console import Bars, complain, say

Items = Annotated[
    str | None,
    typer.Option(
        help="Items table: item_id and text columns (title, description, ...); numbers become ranking features. "
        "Parquet, CSV, JSON lines, Arrow or a Delta table."
    ),
]
Events = Annotated[
    str | None,
    typer.Option(
        help="Events table: user_id, item_id, timestamp [event, value, session_id, available_at, event_id, cancels]. "
        "event is a name (click, rating, return, ...), value its rating, available_at when it reached you, "
        "cancels the event_id of an earlier event that this row cancels."
    ),
]
Impressions = Annotated[
    str | None,
    typer.Option(
        help="Impressions table, what was shown: impression_id, user_id, timestamp, item_id, label (1 if clicked) "
        "[position]."
    ),
]


def ingest(
    store: Annotated[str, typer.Option(help="The store: a folder, created if missing, or the URL of an object store.")],
    items: Items = None,
    events: Events = None,
    impressions: Impressions = None,
) -> None:
    """Add items, events or impressions to a store.

    Safe to repeat: rows that the store already has are not added again. Invalid rows go to the store's table
    `rejected`, with the reason.
    """
    if items is None and events is None and impressions is None:
        raise typer.BadParameter("--items, --events, --impressions: expected at least one, got none. Name a file.")
    from feature_store import EVENTS, IMPRESSIONS, ITEMS, DataError, Store
    from feature_store.cancellations import n_waiting
    from feature_store.table_files import read_table

    paths = {ITEMS: items, EVENTS: events, IMPRESSIONS: impressions}
    given = {table: path for table, path in paths.items() if path is not None}
    progress = Bars()
    frames = {}
    with progress.stage("Reading files", len(given)) as advance:
        for table, path in given.items():
            frames[table] = read_table(path, table=table.name)
            advance(1)
    opened = Store.open_or_create(store)
    receipts = []
    with progress.stage("Adding rows to the store", len(frames)) as advance:
        for table, frame in frames.items():
            receipts.append(opened.append(table, frame))
            advance(1)
    for receipt in receipts:
        say(str(receipt))
    if EVENTS in frames and "cancels" in frames[EVENTS].columns and (n := n_waiting(opened.events())):
        complain(f"{n:,} cancellations in {store} match no event of their user and item yet, and have no effect.")
    if any(receipt.n_rejected for receipt in receipts):
        complain(f"See the rejected rows with: recmem rejected --store {store}")
    unusable = [receipt.table for receipt in receipts if receipt.n_rejected == receipt.n_in]
    if unusable:
        raise DataError(
            "\n".join(f"{name}: expected valid rows, got none. Fix them as listed above." for name in unusable)
        )
