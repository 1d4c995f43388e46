"""The candidates that are scored for a query if the catalogue is too large to be scored whole.

They are the texts nearest to each slot of the memory and to the interests that the user has declared, every item that
an item-item model connects with the history, the items that share most of the history's rarer facts, and the items that
were popular at the time and the user does not have.
With exact search, each item that would be retrieved by similarity, co-visitation or popularity is among them, except
that items which the user already has take up places among the nearest texts. The match has no search of its own: it
orders what these bring.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from feature_store.arrays import IntArray
from feature_store.point_in_time.counters import item_counters
from feature_store.point_in_time.covisitation import Covisitation
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.dataset.covisitation_models import covisitation_by_refresh
from recmem.dataset.dataset import Dataset
from recmem.dataset.query_batch import QueryBatch
from recmem.dataset.shared_facts import linked_items
from recmem.kernels.top_k_torch import largest
from recmem.matching.matcher import Matcher
from recmem.retrieval.interleave import RetrievalConfig

COMMON_FACT = 10_000
"""Items that have a fact; one that more have brings none to the shortlist."""


def shortlist(dataset: Dataset, matcher: Matcher, queries: QueryBatch, seen: Ragged, config: RetrievalConfig) -> Ragged:
    """The item rows to score for each query, ascending.

    At least `config.candidates` of them are not `seen`, if the catalogue has that many. A query's shortlist does not
    depend on the other queries of the batch.
    """
    parts = [
        _nearest_texts(dataset, matcher, queries, config),
        _covisited(dataset, queries),
        _popular(dataset, queries, seen, config),
    ]
    if dataset.config.interests:
        parts.append(_nearest_to_interests(dataset, matcher, queries, config))
    if dataset.config.knowledge is not None:
        parts.append(_sharing_facts(dataset, queries, config))
    # (query, item) as one number: its distinct values, in order, are the union of the parts.
    n_items = len(dataset.catalogue)
    pairs = np.unique(np.concatenate([part.row_index * n_items + part.values for part in parts]))
    query_of_pair = pairs // n_items
    return Ragged.from_lengths(pairs % n_items, np.bincount(query_of_pair, minlength=len(queries)))


def _nearest_texts(dataset: Dataset, matcher: Matcher, queries: QueryBatch, config: RetrievalConfig) -> Ragged:
    """The items whose texts are nearest to each slot of a query's memory."""
    slots = matcher.slots(queries.histories)
    # Each distinct text is searched for once.
    texts, text_of_slot = torch.unique(slots.rows, return_inverse=True)
    vectors = slots.vectors_of(matcher.tables.unit, texts)
    nearest = matcher.nearest_to(vectors, config.candidates, config.search)[text_of_slot.cpu().numpy()]  # [slot, k]
    query = np.repeat(slots.memory_index.cpu().numpy(), nearest.shape[1])  # [slot * k]
    rows = nearest.ravel()
    # -1 where fewer than k were found; rows behind the catalogue's are texts that came with the request.
    is_item = (rows >= 0) & (rows < len(dataset.catalogue))
    return Ragged.from_lengths(rows[is_item], np.bincount(query[is_item], minlength=len(queries)))


def _nearest_to_interests(dataset: Dataset, matcher: Matcher, queries: QueryBatch, config: RetrievalConfig) -> Ragged:
    """The items whose texts are nearest to what each query's user has declared."""
    interests = dataset.interest_rows(queries.described_users, queries.times)
    has_interests = interests >= 0
    vectors = dataset.profiles.interests.vectors[interests[has_interests]]
    nearest = matcher.nearest_to(torch.from_numpy(vectors), config.candidates, config.search)
    is_item = (nearest >= 0) & (nearest < len(dataset.catalogue))
    lengths = np.zeros(len(queries), np.int64)
    lengths[has_interests] = is_item.sum(axis=1)
    return Ragged.from_lengths(nearest[is_item], lengths)


def _sharing_facts(dataset: Dataset, queries: QueryBatch, config: RetrievalConfig) -> Ragged:
    """The items that share most with the facts of each query's history."""
    facts = dataset.catalogue.facts
    lengths = queries.histories.items.lengths
    # The history's own items share the most, and may be excluded.
    linked = (
        linked_items(facts, queries.histories, query, config.candidates + int(lengths[query]), COMMON_FACT)
        for query in range(len(queries))
    )
    return Ragged.from_lists(linked)


def _covisited(dataset: Dataset, queries: QueryBatch) -> Ragged:
    """Every item that an item-item model connects with an item of the history, and the history's own items."""
    connected = [np.empty(0, np.int64)] * len(queries)
    for rows, histories, covisitation in covisitation_by_refresh(dataset, queries):
        items = _connected(histories, covisitation, len(dataset.catalogue))
        for number, row in enumerate(rows):
            connected[row] = items.indices[items.indptr[number] : items.indptr[number + 1]]
    return Ragged.from_lists(connected)


def _connected(histories: Histories, covisitation: Covisitation, n_items: int) -> sp.csr_matrix:
    """[query, item]: stored where one of the models connects the item with the history, or the history has it."""
    items = histories.items
    weights = np.ones(len(items.values), np.float32)
    history = sp.csr_matrix((weights, items.values, items.offsets), (len(histories), n_items))
    connected = history
    for model in covisitation.models.values():
        connected = connected + history @ model
    return connected


def _popular(dataset: Dataset, queries: QueryBatch, seen: Ragged, config: RetrievalConfig) -> Ragged:
    """The most popular items as of each query's time that are not `seen`, at most `config.candidates` of them."""
    popular = [np.empty(0, np.int64)] * len(queries)
    for time in np.unique(queries.times):
        rows = np.flatnonzero(queries.times == time)
        # So many that enough are left of them for the query with the most seen items.
        depth = config.candidates + int(seen.lengths[rows].max())
        most_popular = _most_popular(dataset, int(time), depth)
        for row in rows:
            is_new = ~np.isin(most_popular, seen.row(int(row)))
            popular[row] = most_popular[is_new][: config.candidates]
    return Ragged.from_lists(popular)


def _most_popular(dataset: Dataset, time: int, depth: int) -> IntArray:
    """The `depth` most popular items as of a time, the most popular first."""
    n_items = len(dataset.catalogue)
    counters = item_counters(dataset.reads, np.arange(n_items), np.full(n_items, time), dataset.config.counters)
    popularity = torch.from_numpy(counters["popularity_medium"])[None]  # [1, item]
    most_popular: IntArray = largest(popularity, min(depth, n_items))[1][0].numpy()
    return most_popular
