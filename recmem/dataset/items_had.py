"""What a history says about its own items: how often the user has had each, and how long ago."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_store.arrays import BoolArray, Float32Array, IntArray
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged


@dataclass(frozen=True, eq=False)
class ItemsHad:
    """Positive events of the histories on some items: one entry per value of the candidates."""

    times: IntArray
    """How many there are."""
    visits_since: IntArray
    """Visits of the user after the latest of them; 0 without any."""
    last_time: IntArray
    """When the latest of them happened, microseconds; 0 without any."""

    @classmethod
    def of(cls, histories: Histories, candidates: Ragged) -> ItemsHad:
        """Of each history's own candidates."""
        is_positive = histories.signs > 0
        items = histories.items
        n_items = int(max(items.values.max(initial=-1), candidates.values.max(initial=-1))) + 1
        # History and item as one number.
        event_keys = (items.row_index * n_items + items.values)[is_positive]
        pair_keys = candidates.row_index * n_items + candidates.values
        keys, counts = np.unique(event_keys, return_counts=True)
        # The events of a history are in order of time, so the first of its reversed events is the latest.
        _, from_end = np.unique(event_keys[::-1], return_index=True)
        latest = np.flatnonzero(is_positive)[::-1][from_end]
        if not len(keys):
            nothing = np.zeros(len(pair_keys), np.int64)
            return cls(nothing, nothing, nothing)
        place = np.minimum(np.searchsorted(keys, pair_keys), len(keys) - 1)
        is_had = keys[place] == pair_keys
        return cls(
            times=np.where(is_had, counts[place], 0),
            visits_since=np.where(is_had, histories.recency[latest][place], 0),
            last_time=np.where(is_had, histories.times[latest][place], 0),
        )

    @property
    def is_had(self) -> BoolArray:
        """bool[pair]"""
        return self.times > 0


def repeat_scores(histories: Histories, items: IntArray) -> Float32Array:
    """What ranks each history's own items: how often the user has had them, of equal ones the latest first.

    float32[history, item] for the given item rows; -inf for items that the user has not had.
    """
    n_histories = len(histories)
    every_item = Ragged(np.tile(items, n_histories), np.arange(n_histories + 1) * len(items))
    had = ItemsHad.of(histories, every_item)
    scores = np.where(had.is_had, had.times + 1 / (2 + had.visits_since), -np.inf)
    return scores.astype(np.float32).reshape(n_histories, len(items))
