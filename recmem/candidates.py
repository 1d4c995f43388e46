"""Which items to rank for a query: the first of every source, the sources interleaved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from feature_store.ragged import Ragged

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

SOURCES = ("match_raw", "similarity_max", "together", "follow_recent", "ease_recent", "popularity_medium")
"""Columns that candidates are drawn by; the match leads, for it alone finds items that nobody has touched yet."""


@dataclass(frozen=True)
class RetrievalConfig:
    """How many items are ranked for a query."""

    candidates: int = 300
    """Items per query, from all sources together."""
    exclude_seen: bool = True
    """Leave out what the user already has."""

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise ValueError(f"candidates: expected at least 1, got {self.candidates}. Give items per query.")


def retrieve(sources: dict[str, FloatArray], seen: Ragged | None, n_candidates: int) -> Ragged:
    """Per query the best `n_candidates` items by the best place that any source gives them; best first.

    `sources` are float32[query, item], higher is better; equal places go by the order of the sources. `seen` are items
    to leave out. Rows are shorter where fewer items are left.
    """
    n_queries, n_items = next(iter(sources.values())).shape
    depth = min(n_candidates, n_items)
    places = np.full((n_queries, n_items), np.iinfo(np.int32).max, np.int32)
    rows = np.arange(n_queries)[:, None]
    for number, scores in enumerate(sources.values()):
        top = _top(scores, seen, depth)
        place = np.arange(depth, dtype=np.int32) * len(sources) + number
        places[rows, top] = np.minimum(places[rows, top], place[None])
    if seen is not None:
        places[seen.row_index, seen.values] = np.iinfo(np.int32).max
    order = np.argsort(places, axis=1, kind="stable")[:, :depth]
    found = np.take_along_axis(places, order, axis=1) < np.iinfo(np.int32).max
    return Ragged.from_lengths(order[found].astype(np.int64), found.sum(1))


def _top(scores: FloatArray, seen: Ragged | None, depth: int) -> IntArray:
    values = torch.from_numpy(scores.copy())
    if seen is not None:
        values[torch.from_numpy(seen.row_index), torch.from_numpy(seen.values)] = torch.finfo(values.dtype).min
    return values.topk(depth, dim=1).indices.numpy()
