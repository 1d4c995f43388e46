"""The best items of several candidate sources, interleaved into one list per query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from feature_store.arrays import BoolArray, Float32Array, IntArray
from feature_store.ragged import Ragged
from feature_store.settings import check_settings, setting
from recmem.kernels.top_k_torch import largest
from recmem.matching.text_search import SearchBackend

SOURCES = (
    "match_raw",
    "similarity_max",
    "near",
    "follow_recent",
    "ease_recent",
    "ease_text_recent",
    "popularity_medium",
)
"""Candidate sources: features that items are retrieved by. The match leads: items without any event are found by texts
alone."""
INTERESTS = "interests_similarity"
"""One more source if the users table has declared interests."""
REPEATS = "repeats"
"""One more source if items that users have had are wanted again: these, the most frequent first."""
FACTS = "facts_shared"
"""One more source if facts of items are read."""
NOT_RETRIEVED = np.iinfo(np.int32).max
"""Rank of an item that no source retrieves."""


@dataclass(frozen=True)
class RetrievalConfig:
    """How many items are ranked for a query, and how they are found."""

    candidates: int = setting(300, low=1, high=1_000_000, remedy="Give the number of items per query.")
    """Items per query, from all sources together."""
    exclude_seen: bool = setting(True)
    """Whether to rank only items that are new to the user. If not, repeats are learned and recommended too."""
    whole_up_to: int = setting(50_000, low=1, high=10**12)
    """A catalogue with more items is not scored whole: a query's shortlist is."""
    search: SearchBackend = setting("exact")
    """How the nearest texts of such a catalogue are found. "faiss" (inverted lists) and "faiss-graph" (HNSW, on a GPU
    CAGRA) are approximate and need `recmem[faiss]`."""

    def __post_init__(self) -> None:
        check_settings(self)


def interleave(sources: dict[str, Float32Array], excluded: BoolArray, n_candidates: int) -> Ragged:
    """The `n_candidates` items of each query that rank best in any source, the best first.

    `sources` are scores, float32[query, item], higher is better. An item's rank is the best that any source gives it;
    equal ranks go by the order of the sources. A source does not offer items with a score of -inf. `excluded`,
    bool[query, item], are items to leave out. A query that has fewer items left gets a shorter row.
    """
    n_queries, n_items = excluded.shape
    depth = min(n_candidates, n_items)
    query = np.arange(n_queries)[:, None]
    # Interleaved: rank r of source s is r * n_sources + s, so no two sources give the same rank.
    best_rank = np.full((n_queries, n_items), NOT_RETRIEVED, np.int32)
    for number, scores in enumerate(sources.values()):
        items = _best_items(scores, excluded, depth)  # [query, depth]
        rank = np.arange(depth, dtype=np.int32) * len(sources) + number  # [depth]
        rank = np.where(np.isneginf(scores[query, items]), NOT_RETRIEVED, rank)  # [query, depth]
        best_rank[query, items] = np.minimum(best_rank[query, items], rank)
    # A source has excluded items in its last ranks if it has too few others.
    best_rank[excluded] = NOT_RETRIEVED
    order = np.argsort(best_rank, axis=1, kind="stable")[:, :depth]  # [query, depth]
    is_retrieved = np.take_along_axis(best_rank, order, axis=1) < NOT_RETRIEVED
    return Ragged.from_lengths(order[is_retrieved].astype(np.int64), is_retrieved.sum(1))


def _best_items(scores: Float32Array, excluded: BoolArray, depth: int) -> IntArray:
    """int64[query, depth]: the items with the largest scores, excluded ones last. Equal scores go by item row."""
    values = torch.from_numpy(np.where(excluded, np.finfo(scores.dtype).min, scores))
    items: IntArray = largest(values, depth)[1].numpy()
    return items
