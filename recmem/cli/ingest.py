"""`recmem ingest`: adds rows to a store."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from recmem.cli.console import Bars, complain, say
from recmem.cli.error_handling import UsageError
from recmem.cli.options import names_of
from recmem.cli.vector_options import Vectors, VectorsName

if TYPE_CHECKING:
    import polars as pl

    from feature_store import Store

_N_EXAMPLES = 3
"""Of ids that match nothing."""

Items = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URL",
        help="Items table: item_id and text columns (title, description, ...); numeric columns become ranking "
        "features. An item that has changed is updated. With a timestamp [available_at, event_id, cancels] each row is "
        "a change, and numbers are read as of the query's time.",
    ),
]
Events = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URL",
        help="Events table: user_id, item_id, timestamp [event, value, session_id, available_at, event_id, cancels, "
        "weight]. "
        "event: a name such as click, purchase or return; rating (or no name) is judged by its value; see the events "
        "options of train. value: the rating. available_at: when the event reached you. cancels: the event_id "
        "of an earlier event that this row cancels. weight: how much the event counts in training.",
    ),
]
Impressions = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URL",
        help="Impressions table, one row per item shown: impression_id, user_id, timestamp, item_id, "
        "label (1 if clicked) [position, weight], and columns that --features names. weight: how much the row counts "
        "in training.",
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
Facts = Annotated[
    str | None,
    typer.Option(
        metavar="PATH|URL",
        help="Facts table: subject, relation, object, such as a book's id, author, Ursula K. Le Guin; also N-Triples "
        "(.nt). A subject is an item's id, or the object of another fact: facts are followed two steps from the items.",
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
    facts: Facts = None,
    features: Features = "",
    vectors: Vectors = None,
    vectors_name: VectorsName = "",
) -> None:
    """Add items, events, impressions, users or facts to a store.

    Each table may be Parquet (a file or a folder), CSV, TSV, JSON, Arrow or Delta, facts also N-Triples; text may be
    compressed (.gz, .zst).
    Times are ISO 8601 (UTC without a zone; also 2024/01/31), epoch numbers, or dates in digits (20240131).

    Safe to repeat: rows that the store already has are not added again. Invalid rows are set aside with the reason: see
    `recmem rejected`.
    """
    if all(table is None for table in (items, events, impressions, users, facts, vectors)):
        raise UsageError(
            "--items, --events, --impressions, --users, --facts, --vectors: expected at least one of them, got none. "
            "Give a table."
        )
    from feature_store import EVENTS, IMPRESSIONS, ITEMS, USERS, DataError, Store
    from feature_store.files.table_files import read_table
    from feature_store.ingestion import append_tables, check_tables, vectors_of
    from feature_store.item_vectors import append_vectors, space_name, stored_spaces
    from feature_store.schema import FACTS, ITEM_VECTORS

    names = names_of(features)
    has_vectors = vectors is not None or bool(stored_spaces(Store(store)))
    paths = {
        ITEMS.without_texts() if has_vectors else ITEMS: items,
        EVENTS: events,
        IMPRESSIONS.with_features(names): impressions,
        USERS: users,
        FACTS: facts,
    }
    given = {table: path for table, path in paths.items() if path is not None}
    progress = Bars()
    frames = {}
    faults = []
    rows = None
    n_tables = len(given) + (vectors is not None)
    with progress.stage("Reading files", n_tables) as advance:
        for table, path in given.items():
            try:
                frames[table] = read_table(path, table=table.name, features=table.features)
            except DataError as error:
                faults.append(str(error))
            advance(1)
        if vectors is not None:
            try:
                rows = read_table(vectors, table=ITEM_VECTORS.name)
            except DataError as error:
                faults.append(str(error))
            advance(1)
    checked = None
    if rows is not None:
        name = space_name(Store(store), vectors_name, vectors)
        checked, found = vectors_of(Store(store), rows, name, frames)
        faults += found
    # Before the store is created: where a table is refused, nothing is written.
    check_tables(Store(store), frames, faults=faults)
    opened = Store.open_or_create(store)
    with progress.stage("Adding rows to the store", n_tables) as advance:
        receipts = append_tables(opened, frames, on_table=advance)
        if checked is not None:
            receipts = (*receipts, append_vectors(opened, checked))
            advance(1)
    for receipt in receipts:
        say(str(receipt))
    if checked is not None:
        say(f"The vectors are named {checked.name!r} and have {checked.rows.units.shape[1]:,} numbers.")
    for receipt in receipts:
        if lost := receipt.rejected_sentence():
            complain(lost)
    stored = opened.events()
    if events is not None:
        _report_event_names(stored)
    if any(receipt.n_rejected for receipt in receipts):
        complain(f"To see the rejected rows, run `recmem rejected --store {quote(store)}`.")
    _report_rows_without_effect(opened, stored)
    if facts is not None:
        _report_unread_facts(opened)


def _report_event_names(events: pl.DataFrame) -> None:
    """Prints how a training takes the events of the store by their names, if no option says otherwise."""
    from feature_store.signals import SignalConfig
    from feature_store.warnings.event_kinds import event_kinds, listed_kinds

    if kinds := event_kinds(events, SignalConfig()):
        say(f"Events by name, unless an option of `recmem train` says otherwise: {listed_kinds(kinds)}.")


def _report_rows_without_effect(store: Store, events: pl.DataFrame) -> None:
    """Prints to stderr which rows of the whole store have no effect yet, for want of an item or an event.

    `events` are the store's.
    """
    from feature_store.cancellations import n_waiting
    from feature_store.item_changes import n_waiting_changes
    from feature_store.warnings.unmatched_ids import unmatched_rows

    if n := n_waiting(events):
        complain(f"{n:,} cancellations in the store match no event of their user and item yet: they have no effect.")
    if n := n_waiting_changes(store.item_changes()):
        complain(f"{n:,} cancellations of items in the store match no row of their item yet: they have no effect.")
    items = store.items()
    if events.height and not items.height:
        n_events = "1 event counts" if events.height == 1 else f"{events.height:,} events count"
        complain(f"The store has no items yet: its {n_events} once it has theirs.")
    for unmatched in unmatched_rows(items, events, store.impressions(), store.users()):
        if unmatched.column.endswith("item_id"):
            if items.height:
                counts = "" if unmatched.is_alike else " They count once the items table has their items."
                complain(f"{unmatched}{counts}")
        elif unmatched.is_warning:
            complain(str(unmatched))


def _report_unread_facts(store: Store) -> None:
    """Prints to stderr how many facts of the store no training reads, for want of an item."""
    from recmem.dataset.item_facts import subjects_of_items, unread_facts

    facts = store.facts()
    ids = store.items()["item_id"]
    if ids.is_empty():
        complain(f"The store has no items yet: its {len(facts):,} facts count once it has theirs.")
        return
    unread = unread_facts(ids, facts)
    if unread.is_empty():
        return
    has_items = subjects_of_items(ids, facts["subject"]).height
    refused = "" if has_items else " A training on them is refused."
    complain(
        f"facts.subject: {len(unread):,} of {len(facts):,} facts in the store are about no item, nor about the object "
        f"of an item's fact, such as {_three(unread['subject'])}, where items.item_id has {_three(ids)}. They have no "
        f"effect.{refused} Write subjects as the items' ids; an IRI may end in the id."
    )


def _three(values: pl.Series) -> str:
    return ", ".join(map(repr, values.unique().sort().head(_N_EXAMPLES)))
