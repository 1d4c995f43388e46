"""Which co-visitation model serves which query: the one of the last refresh before its time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from feature_store.arrays import IntArray
from feature_store.point_in_time.covisitation import Covisitation
from feature_store.point_in_time.histories import Histories
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch


def covisitation_by_refresh(
    dataset: Dataset, queries: QueryBatch
) -> Iterator[tuple[IntArray, Histories, Covisitation]]:
    """For each co-visitation model in use: the rows of its queries, their histories of catalogue items, the model."""
    n_items = len(dataset.catalogue)
    refresh_of_query = dataset.timeline.periods(queries.times)
    for refresh in np.unique(refresh_of_query):
        rows = np.flatnonzero(refresh_of_query == refresh)
        histories = _of_catalogue_items(queries.histories.take(rows), n_items)
        yield rows, histories, dataset.timeline.at(int(refresh))


def _of_catalogue_items(histories: Histories, n_items: int) -> Histories:
    """The histories without texts that are not in the catalogue."""
    item_rows = histories.items.values
    if not len(item_rows) or int(item_rows.max()) < n_items:
        return histories
    return histories.where(item_rows < n_items)
