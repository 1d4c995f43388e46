"""`recmem ingest`: more rows for a store."""

from __future__ import annotations

from typing import Annotated

import typer

from recmem.cli.console import Bars, complain, say

TABLES = ("items", "events", "impressions")

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
    paths = {name: path for name, path in zip(TABLES, (items, events, impressions), strict=True) if path is not None}
    if not paths:
        raise typer.BadParameter("give at least one of --items, --events and --impressions.")
    from feature_store import DataError, Store
    from feature_store.cancellations import n_waiting
    from feature_store.table_files import read_parquet_table

    progress = Bars()
    with progress.stage("FeatureSnapshot", len(paths)) as advance:
        frames = {}
        for name, path in paths.items():
            frames[name] = read_parquet_table(path, table=name)
            advance(1)
    opened = Store.open_or_create(store)
    append = {"items": opened.append_items, "events": opened.append_events, "impressions": opened.append_impressions}
    with progress.stage("Adding to the store", len(frames)) as advance:
        receipts = []
        for name, frame in frames.items():
            receipts.append(append[name](frame))
            advance(1)
    for receipt in receipts:
        say(str(receipt))
    if "events" in frames and "cancels" in frames["events"].columns and (n := n_waiting(opened.events())):
        complain(f"{n:,} cancellations in {store} name no event of their user and item (yet): they take nothing back.")
    refused = [receipt.table for receipt in receipts if receipt.n_rejected == receipt.n_in]
    if any(receipt.n_rejected for receipt in receipts):
        complain(f"The rejected rows are in the table `rejected` of {store}, with their reasons.")
    if refused:
        raise DataError(
            "\n".join(f"{name}: expected rows that can be used, got none. Mend them as told above." for name in refused)
        )
