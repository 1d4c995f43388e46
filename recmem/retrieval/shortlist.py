"""What is scored at all for a query in a catalogue too large to be scored whole.

The nearest texts to each slot of the memory, everything that goes with an item of the history, and what was popular
then and the user does not have. By similarity, co-visitation and popularity nothing is missed with exact search (but
that what the user has takes places among the nearest texts); the match orders what these bring.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from feature_store.point_in_time.counters import item_counters
from feature_store.ragged import Ragged
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.kernels.top_k_torch import largest
from recmem.matching.matcher import Matcher
from recmem.retrieval.retrieve import RetrievalConfig


def shortlist(dataset: Dataset, matcher: Matcher, queries: QueryBatch, seen: Ragged, config: RetrievalConfig) -> Ragged:
    """Per query the item rows that are scored, ascending; as many as are asked for that are not `seen`, if there are.

    What others ask in the same batch changes nothing.
    """
    parts = [
        _near(dataset, matcher, queries, config),
        _together(dataset, queries),
        _popular(dataset, queries, seen, config),
    ]
    n_items = len(dataset.catalogue)
    keys = np.unique(np.concatenate([part.row_index * n_items + part.values for part in parts]))
    return Ragged.from_lengths(keys % n_items, np.bincount(keys // n_items, minlength=len(queries)))


def _near(dataset: Dataset, matcher: Matcher, queries: QueryBatch, config: RetrievalConfig) -> Ragged:
    """The nearest texts to each slot."""
    slots = matcher.slots(queries.histories)
    rows, place = np.unique(slots.rows.cpu().numpy(), return_inverse=True)
    found = matcher.nearest(rows, config.candidates, config.search)[place]
    owner = np.repeat(slots.owner.cpu().numpy(), found.shape[1])
    known = ((found >= 0) & (found < len(dataset.catalogue))).ravel()
    return Ragged.from_lengths(found.ravel()[known], np.bincount(owner[known], minlength=len(queries)))


def _together(dataset: Dataset, queries: QueryBatch) -> Ragged:
    """Every item that an item-item model connects with the history."""
    n_items = len(dataset.catalogue)
    periods = dataset.timeline.periods(queries.times)
    found = [np.empty(0, np.int64)] * len(queries)
    for period in np.unique(periods):
        rows = np.flatnonzero(periods == period)
        histories = queries.histories.take(rows)
        histories = histories.where(histories.items.values < n_items)
        items = histories.items
        seen = sp.csr_matrix(
            (np.ones(len(items.values), np.float32), items.values, items.offsets), (len(rows), n_items)
        )
        models = dataset.timeline.at(int(period))
        reached = sum((seen @ model for model in (models.together, models.follow, models.ease)), start=seen)
        for number, row in enumerate(rows):
            found[row] = reached.indices[reached.indptr[number] : reached.indptr[number + 1]]
    return Ragged.from_lists(found)


def _popular(dataset: Dataset, queries: QueryBatch, seen: Ragged, config: RetrievalConfig) -> Ragged:
    """The most popular items as of each query's time, without those that are `seen`."""
    n_items = len(dataset.catalogue)
    items, best = np.arange(n_items), [np.empty(0, np.int64)] * len(queries)
    for time in np.unique(queries.times):
        rows = np.flatnonzero(queries.times == time)
        counters = item_counters(dataset.reads, items, np.full(n_items, time), dataset.config.counters)
        depth = min(config.candidates + int(seen.lengths[rows].max()), n_items)
        popularity = torch.from_numpy(counters["popularity_medium"])[None]
        order = largest(popularity, depth)[1][0].numpy()
        for row in rows:
            best[row] = order[~np.isin(order, seen.row(int(row)))][: config.candidates]
    return Ragged.from_lists(best)
