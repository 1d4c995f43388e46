"""How much each positive counts in what is fitted: the weight of the event that made it one.

Counters, memories and metrics do not read weights: an event of any weight happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from feature_store import DataError
from feature_store.arrays import BoolArray, Float32Array, Float64Array, Int8Array, IntArray
from feature_store.point_in_time.event_log import rows_of
from feature_store.ragged import Ragged
from recmem.dataset.dataset import Dataset
from training.event_weights import weights_of_events
from training.pair_keys import pair_keys


@dataclass(frozen=True, eq=False)
class TargetWeights:
    """The weights of positives, by user, time and item; 1 for those that are not listed."""

    pairs: IntArray
    """Distinct `user row * n_items + item row`, ascending."""
    times: IntArray
    """Distinct microseconds, ascending."""
    keys: IntArray
    """Place of the pair times the number of times, plus the place of the time; ascending, one entry per positive."""
    weights: Float64Array
    """Of each key."""
    n_items: int

    @classmethod
    def of(cls, dataset: Dataset, event_weights: Sequence[str]) -> TargetWeights | None:
        """The weights of a dataset's positive events; None if all are 1. Of one user, time and item the largest counts.

        Raises DataError if no positive event has a weight above 0.
        """
        events = dataset.events
        signals = dataset.config.signals
        if "cancels" in events.columns:
            events = events.filter(pl.col("cancels").is_null())
        events = events.filter(pl.Series(signals.signs(events) > 0))
        weights = weights_of_events(events, event_weights, signals)
        if len(weights) and not weights.any():
            raise DataError(
                "events.weight: expected a weight above 0 for some positive event, got 0 for all. Without one there is "
                "nothing to learn from. Leave the column empty to weigh all alike."
            )
        n_items = len(dataset.catalogue)
        users = dataset.user_rows(events["user_id"])
        items = rows_of(events["item_id"], dataset.catalogue.ids).to_numpy()
        rows = pl.DataFrame(
            {"pair": users * n_items + items, "time": events["timestamp"].dt.epoch("us"), "weight": weights}
        ).filter(pl.Series(items >= 0))
        rows = rows.group_by("pair", "time").agg(pl.col("weight").max()).filter(pl.col("weight") != 1)
        if rows.is_empty():
            return None
        pairs, pair = np.unique(rows["pair"].to_numpy(), return_inverse=True)
        times, time = np.unique(rows["time"].to_numpy(), return_inverse=True)
        keys = pair * len(times) + time
        order = np.argsort(keys)
        return cls(pairs, times, keys[order], rows["weight"].to_numpy()[order], n_items)

    def of_positives(self, users: IntArray, times: IntArray, positives: Ragged) -> Float32Array:
        """float32[positive]: the weights of the positives of queries, each of a user at a time."""
        query = positives.row_index
        pair, knows_pair = _places(users[query] * self.n_items + positives.values, self.pairs)
        time, knows_time = _places(times[query], self.times)
        place, is_listed = _places(pair * len(self.times) + time, self.keys)
        weights: Float32Array = np.where(knows_pair & knows_time & is_listed, self.weights[place], 1.0).astype(
            np.float32
        )
        return weights


def weights_of_candidates(
    weights: Float32Array, positives: Ragged, candidates: Ragged, labels: Int8Array
) -> Float32Array:
    """float32[pair]: what each candidate of queries weighs, by the weights of their positives.

    A positive weighs what its event does, any other candidate as much as its query's positives do on average: then
    queries whose positives weigh the same count with that weight as a whole.
    """
    n_queries = len(positives)
    total = np.bincount(positives.row_index, weights, n_queries)
    mean = total / np.maximum(positives.lengths, 1)
    of_pair = mean[candidates.row_index]
    wanted, keys = pair_keys(candidates, positives)
    order = np.argsort(keys)
    place, is_positive = _places(wanted, keys[order])
    is_positive &= labels > 0
    of_pair[is_positive] = weights[order][place[is_positive]]
    found: Float32Array = of_pair.astype(np.float32)
    return found


def _places(wanted: IntArray, known: IntArray) -> tuple[IntArray, BoolArray]:
    """Where each number stands among the ascending `known`, and whether it is there; 0 if `known` is empty."""
    if not len(known):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return place, known[place] == wanted
