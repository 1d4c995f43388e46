"""`recmem ingest`: adds rows to a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.console import Bars, complain, say
from recmem.cli.error_handling import UsageError
from recmem.cli.options import names_of

if TYPE_CHECKING:
    from feature_store import Store

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
        "event: a name such as click, purchase or return; rating (or no name) is judged by its value; see the events "
        "options of train. value: the rating. available_at: when the event reached you. cancels: the event_id "
        "of an earlier event that this row cancels.",
    ),
]
Impressions = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URL",
        help="Impressions table, one row per item shown: impression_id, user_id, timestamp, item_id, "
        "label (1 if clicked) [position], and columns that --features names.",
    ),
]
Users = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URL",
        help="Users table, a row a change: user_id [timestamp, available_at, interests] and attributes. timestamp: "
        "when the row began to hold. interests: what the user has declared to be interested in, as text. Numbers, and "
        "texts of few different values, become features of the ranker.",
    ),
]
Features = Annotated[
    str,
    typer.Option(
        metavar="COLUMN,...",
        help="Columns of the impressions table that become features of the ranker (numbers or text), such as "
        "ctr_7d,device. Candidates must bring them too.",
        show_default=False,
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
    users: Users = None,
    features: Features = "",
) -> None:
    """Add items, events, impressions or users to a store.

    Each table may be Parquet (a file or a folder), CSV, TSV, JSON, Arrow or Delta; text may be compressed (.gz, .zst).
    Times are ISO 8601 (UTC without a zone), epoch numbers, or dates in digits (20240131).

    Safe to repeat: rows that the store already has are not added again. Invalid rows are set aside with the reason: see
    `recmem rejected`.
    """
    if items is None and events is None and impressions is None and users is None:
        raise UsageError(
            "--items, --events, --impressions, --users: expected at least one of them, got none. Give a table."
        )
    from feature_store import EVENTS, IMPRESSIONS, ITEMS, USERS, DataError, Store
    from feature_store.files.table_files import read_table
    from feature_store.ingestion import append_tables, check_tables

    names = names_of(features)
    paths = {ITEMS: items, EVENTS: events, IMPRESSIONS.with_features(names): impressions, USERS: users}
    given = {table: path for table, path in paths.items() if path is not None}
    progress = Bars()
    frames = {}
    faults = []
    with progress.stage("Reading files", len(given)) as advance:
        for table, path in given.items():
            try:
                frames[table] = read_table(path, table=table.name, features=table.features)
            except DataError as error:
                faults.append(str(error))
            advance(1)
    # Before the store is created: where a table is refused, nothing is written.
    check_tables(Store(store), frames, faults=faults)
    opened = Store.open_or_create(store)
    with progress.stage("Adding rows to the store", len(frames)) as advance:
        receipts = append_tables(opened, frames, on_table=advance)
    for receipt in receipts:
        say(str(receipt))
    if any(receipt.n_rejected for receipt in receipts):
        complain(f"To see the rejected rows, run `recmem rejected --store {store}`.")
    _report_rows_without_effect(opened)


def _report_rows_without_effect(store: Store) -> None:
    """Prints to stderr which rows of the whole store have no effect yet, for want of an item or an event."""
    from feature_store.cancellations import n_waiting
    from feature_store.warnings.unmatched_ids import unmatched_rows

    events = store.events()
    if n := n_waiting(events):
        complain(f"{n:,} cancellations in the store match no event of their user and item yet: they have no effect.")
    items = store.items()
    if events.height and not items.height:
        complain(f"The store has no items yet: its {events.height:,} events count once it has theirs.")
    for unmatched in unmatched_rows(items, events, store.impressions(), store.users()):
        if unmatched.column.endswith("item_id"):
            if items.height:
                complain(f"{unmatched} They count once the items table has their items.")
        elif unmatched.is_warning:
            complain(str(unmatched))
