"""Gives an audit's dataset the changes of items that were known at each query's time."""

from __future__ import annotations

from dataclasses import replace

from feature_store.point_in_time.as_of_join import when_known
from feature_store.point_in_time.item_history import ItemHistory
from recmem.audit.known_rows import KnownRows
from recmem.dataset.dataset import Dataset


class ItemChanges:
    """The changes of items, as far as they were known at each of several times."""

    def __init__(self, dataset: Dataset) -> None:
        self._changes = KnownRows.of(dataset.item_changes, when_known())
        self._history = dataset.item_history
        self._n_known = -1

    def known_at(self, time: int, dataset: Dataset) -> Dataset:
        """The dataset without the changes that became known after the time."""
        known = self._changes.at(time)
        if len(known) != self._n_known:  # building a history costs more than a query
            self._n_known = len(known)
            self._history = ItemHistory.of(known, dataset.catalogue.ids)
        return replace(dataset, item_history=self._history)
