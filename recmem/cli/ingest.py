"""`recmem ingest`: more rows for a store."""

from __future__ import annotations

from typing import Annotated

import typer

from recmem.cli.console import Bars, complain, say

Items = Annotated[
    str | None, typer.Option(help="Items: item_id and texts (title, description, ...). Parquet, CSV or JSON lines.")
]
Events = Annotated[
    str | None,
    typer.Option(
        help="Events: user_id, item_id, timestamp [event, value, event_id, available_at, ...; cancels: the event_id of "
        "an event that this row takes back]."
    ),
]
Impressions = Annotated[
    str | None, typer.Option(help="What was shown: impression_id, user_id, timestamp, item_id, label.")
]


def ingest(
    store: Annotated[
        str, typer.Option(help="The store: a folder (made where there is none) or an object store's URL.")
    ],
    items: Items = None,
    events: Events = None,
    impressions: Impressions = None,
) -> None:
    """Add items, events or impressions to a store.

    Repeating it adds nothing twice. Rows that cannot be used go to the store's table `rejected`, with the reason.
    """
    if items is None and events is None and impressions is None:
        raise typer.BadParameter("give at least one of --items, --events and --impressions.")
    from feature_store import EVENTS, IMPRESSIONS, ITEMS, DataError, Store
    from feature_store.cancellations import n_waiting
    from feature_store.table_files import read_table

    paths = {ITEMS: items, EVENTS: events, IMPRESSIONS: impressions}
    given = {table: path for table, path in paths.items() if path is not None}
    progress = Bars()
    with progress.stage("Reading", len(given)) as advance:
        frames = {}
        for table, path in given.items():
            frames[table] = read_table(path, table=table.name)
            advance(1)
    opened = Store.open_or_create(store)
    with progress.stage("Adding to the store", len(frames)) as advance:
        receipts = []
        for table, frame in frames.items():
            receipts.append(opened.append(table, frame))
            advance(1)
    for receipt in receipts:
        say(str(receipt))
    if EVENTS in frames and "cancels" in frames[EVENTS].columns and (n := n_waiting(opened.events())):
        complain(f"{n:,} cancellations in {store} name no event of their user and item (yet): they take nothing back.")
    refused = [receipt.table for receipt in receipts if receipt.n_rejected == receipt.n_in]
    if any(receipt.n_rejected for receipt in receipts):
        complain(f"The rejected rows are in the table `rejected` of {store}, with their reasons.")
    if refused:
        raise DataError(
            "\n".join(f"{name}: expected rows that can be used, got none. Mend them as told above." for name in refused)
        )
