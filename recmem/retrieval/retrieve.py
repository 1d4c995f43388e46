"""Which items to rank for a query: the first of every source, the sources interleaved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
import torch

from feature_store.arrays import BoolArray, Float32Array, IntArray
from feature_store.ragged import Ragged
from recmem.kernels.top_k_torch import largest
from recmem.matching.text_search import SearchBackend

SOURCES = ("match_raw", "similarity_max", "together", "follow_recent", "ease_recent", "popularity_medium")
"""Columns that candidates are drawn by; the match leads, for it alone finds items that nobody has touched yet."""


@dataclass(frozen=True)
class RetrievalConfig:
    """How many items are ranked for a query."""

    candidates: int = 300
    """Items per query, from all sources together."""
    exclude_seen: bool = True
    """Leave out what the user already has."""
    whole_up_to: int = 50_000
    """Larger catalogues are not scored whole: only the texts nearest to the memory, what goes with it, the popular."""
    search: SearchBackend = "exact"
    """How the nearest texts of a larger catalogue are found; "faiss" is approximate and needs `recmem[faiss]`."""

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise ValueError(f"candidates: expected at least 1, got {self.candidates}. Give items per query.")
        if self.whole_up_to < 1:
            raise ValueError(f"whole_up_to: expected at least 1, got {self.whole_up_to}. Give a number of items.")
        if self.search not in get_args(SearchBackend):
            raise ValueError(f"search: expected exact or faiss, got {self.search!r}. Name one of the two.")


def retrieve(sources: dict[str, Float32Array], excluded: BoolArray, n_candidates: int) -> Ragged:
    """Per query the best `n_candidates` items by the best place that any source gives them; best first.

    `sources` are float32[query, item], higher is better; equal places go by the order of the sources. `excluded`,
    bool[query, item], are items to leave out. Rows are shorter where fewer items are left.
    """
    n_queries, n_items = next(iter(sources.values())).shape
    depth = min(n_candidates, n_items)
    places = np.full((n_queries, n_items), np.iinfo(np.int32).max, np.int32)
    rows = np.arange(n_queries)[:, None]
    for number, scores in enumerate(sources.values()):
        top = _top(scores, excluded, depth)
        place = np.arange(depth, dtype=np.int32) * len(sources) + number
        places[rows, top] = np.minimum(places[rows, top], place[None])
    places[excluded] = np.iinfo(np.int32).max
    order = np.argsort(places, axis=1, kind="stable")[:, :depth]
    found = np.take_along_axis(places, order, axis=1) < np.iinfo(np.int32).max
    return Ragged.from_lengths(order[found].astype(np.int64), found.sum(1))


def _top(scores: Float32Array, excluded: BoolArray, depth: int) -> IntArray:
    """The items of the largest scores per query; equal ones in the order of their rows, however many are scored."""
    values = torch.from_numpy(np.where(excluded, np.finfo(scores.dtype).min, scores))
    top: IntArray = largest(values, depth)[1].numpy()
    return top
