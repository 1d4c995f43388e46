"""The store that a loaded model reads: the caller's, or the one that it was trained on."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from feature_store import DataError, Store
from feature_store.addresses import without_secrets
from feature_store.schema import EVENTS, IMPRESSIONS, ITEM_CHANGES, ITEMS


def open_store(given: str | Path | Store | None, *, trained: str | None) -> Store | None:
    """The store that the caller gives, else the one that the model was trained on; None if there is neither.

    Raises DataError if there is no store at the path.
    """
    if isinstance(given, Store):
        return given
    if given is not None:
        return Store.open(given)
    if trained is None:
        return None
    try:
        return Store.open(trained)
    except DataError as error:
        expected = "the store that the model was trained on"
        remedy = "If it has moved, give its path: store=..., --store, or RECMEM_STORE where MLflow serves the model."
        raise DataError(f"store: expected {expected}, got none at {without_secrets(trained)!r}. {remedy}") from error


def read_tables(store: Store | None) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Items, events, impressions and changes of items at their newest versions; empty tables without a store."""
    if store is not None:
        return store.items(), store.events(), store.impressions(), store.item_changes()
    tables = (ITEMS, EVENTS, IMPRESSIONS, ITEM_CHANGES)
    items, events, impressions, changes = (pl.DataFrame(schema=table.schema()) for table in tables)
    return items, events, impressions, changes
