"""The store that a loaded model reads, the caller's or the one that it was trained on, and its tables as a dataset."""

from __future__ import annotations

import logging
from pathlib import Path

import polars as pl

from feature_store import DataError, Store
from feature_store.addresses import without_secrets
from feature_store.point_in_time.covisitation_cache import CovisitationCache
from feature_store.point_in_time.read_protocol import END_OF_TIME
from feature_store.schema import EVENTS, FACTS, IMPRESSIONS, ITEM_CHANGES, ITEMS
from feature_store.timestamps import iso_time
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.dataset import Dataset
from recmem.dataset.user_profiles import UserProfiles
from recmem.serving.bundle import BundleConfig

_LOG = logging.getLogger("recmem")


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


def read_dataset(store: Store | None, config: BundleConfig) -> Dataset:
    """The store's tables as a model of this configuration reads them; logs dates that were not taken for now."""
    derived = None if store is None else store.derived_files()  # before the tables are read
    items, events, impressions, changes = read_tables(store)
    facts = pl.DataFrame(schema=FACTS.schema()) if store is None else store.facts()
    catalogue = Catalogue.of(items, config.text_columns, config.number_columns)
    catalogue = catalogue.with_facts(facts, config.dataset.knowledge)
    dataset = Dataset.of(
        catalogue,
        events,
        impressions,
        config.dataset,
        item_changes=changes,
        profiles=UserProfiles.none() if store is None else UserProfiles.of(store.users()),
        store="" if store is None else store.identity(),
    )
    if derived is not None:
        dataset.timeline.cache = CovisitationCache(derived, catalogue.describe_words)
    _warn_of_clock(dataset)
    return dataset


def _warn_of_clock(dataset: Dataset) -> None:
    """Logs that some dates of the loaded tables were not taken for now."""
    n_ahead = dataset.tables.n_changes(END_OF_TIME) - dataset.tables.n_changes(dataset.clock)
    if n_ahead:
        now = iso_time(dataset.clock)
        _LOG.warning(
            f"{n_ahead:,} of the log's changes lie far ahead of the others and of the present. Rows without a "
            f"timestamp are read as of {now}. Correct the times of these events."
        )
