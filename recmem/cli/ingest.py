"""`recmem ingest`: adds rows to a store."""

from __future__ import annotations

from typing import Annotated

import typer

from recmem.cli.console import Bars, complain, say
from recmem.cli.error_handling import UsageError

Items = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URL",
        help="Items table: item_id and text columns (title, description, ...); numeric columns become ranking "
        "features. An item that has changed is updated.",
    ),
]
Events = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URL",
        help="Events table: user_id, item_id, timestamp [event, value, session_id, available_at, event_id, cancels]. "
        "event: a name; skip, return, dislike and hide are negative, rating is judged by its value, all others are "
        "positive. value: the rating. available_at: when the event reached you. cancels: the event_id of an earlier "
        "event that this row cancels.",
    ),
]
Impressions = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URL",
        help="Impressions table, one row per item shown: impression_id, user_id, timestamp, item_id, "
        "label (1 if clicked) [position].",
    ),
]


def ingest(
    store: Annotated[
        str,
        typer.Option(metavar="PATH|URL", help="The store: a folder or the URL of an object store; created if missing."),
    ],
    items: Items = None,
    events: Events = None,
    impressions: Impressions = None,
) -> None:
    """Add items, events or impressions to a store.

    Each table may be a Parquet file or a folder of them, CSV, JSON lines, Arrow or Delta. Timestamps are ISO 8601 (UTC
    without a zone) or epoch numbers.

    Safe to repeat: rows that the store already has are not added again. Invalid rows are set aside with the reason: see
    `recmem rejected`.
    """
    if items is None and events is None and impressions is None:
        raise UsageError("--items, --events, --impressions: expected at least one of them, got none. Give a table.")
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
    if EVENTS in frames and "cancels" in frames[EVENTS].frame.columns and (n := n_waiting(opened.events())):
        complain(
            f"{n:,} cancellations in {store} do not match an event of their user and item yet: they have no effect."
        )
    if any(receipt.n_rejected for receipt in receipts):
        complain(f"To see the rejected rows, run `recmem rejected --store {store}`.")
    unusable = [receipt.table for receipt in receipts if receipt.n_rejected == receipt.n_in]
    if unusable:
        raise DataError(
            "\n".join(
                f"{name}: expected valid rows, got none. Correct the rows for the reasons listed above."
                for name in unusable
            )
        )
