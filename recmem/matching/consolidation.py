"""What falls out of a bounded memory, consolidated: a few interest slots, each the middle of similar older events.

The older events of a history are clustered by their texts, by spherical k-means from points that are far apart.
Nothing is random, and middles are rounded as vectors are, so a history gives the same slots in training, in batches and
online.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from feature_store.arrays import Float32Array, Float64Array, IntArray
from feature_store.point_in_time.further_slots import FurtherSlots, SlotName
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.matching.memory_kinds import place_of
from recmem.matching.user_memory import MemoryConfig, age_bucket, events_held, is_older
from recmem.text.unit_vectors import GRID

CONSOLIDATED = "consolidated"
"""Name of the memory kind."""
ROUNDS = 5
"""Of k-means."""
N_NAMED = 2
"""Items that a slot is named by: those nearest to its middle."""


@dataclass(frozen=True, eq=False)
class _Cluster:
    """One interest slot of a history."""

    middle: Float32Array
    """float32[dim], of unit length."""
    events: IntArray
    """Places of its events among those of all histories, ascending."""
    named_by: IntArray
    """Item rows."""


def consolidated(histories: Histories, memory: MemoryConfig, unit: Float[Tensor, "item dim"]) -> Histories:
    """The histories with slots of their older events beside what they have, at most `memory.consolidated` each.

    `unit`: the items' vectors of the frozen encoder. Older are the events that are none of the newest `memory.recent`,
    whether candidates are compared with some of them (`memory.retrieved`) or not; negative ones are left out.
    """
    if not memory.consolidated:
        return histories
    held = events_held(histories, memory)
    older = np.flatnonzero(is_older(held, memory.recent) & (held.signs >= 0))
    if not len(older):
        return histories
    query_of_event = held.items.row_index[older]
    starts = np.flatnonzero(np.diff(query_of_event, prepend=-1))
    lengths = np.zeros(len(held), np.int64)
    clusters: list[_Cluster] = []
    # Fetched at once: on a GPU each history's own fetch would be waited for.
    distinct = np.unique(held.items.values[older])
    fetched = unit[torch.from_numpy(distinct).to(unit.device)].cpu()
    for events, query in zip(np.split(older, starts[1:]), query_of_event[starts], strict=True):
        found = _clusters(held, events, memory.consolidated, distinct, fetched)
        lengths[query] = len(found)
        clusters += found
    return histories.beside(_as_slots(held, clusters, lengths))


def _clusters(
    histories: Histories, events: IntArray, n_most: int, distinct: IntArray, unit: Float[Tensor, "distinct dim"]
) -> list[_Cluster]:
    """The clusters of one history's older events, in order of their newest event.

    `unit`: the vectors of the items `distinct`, which are in ascending order.
    """
    items, which = np.unique(histories.items.values[events], return_inverse=True)
    # float64: sums of such vectors are exact, see `exact_units`.
    vectors: Float64Array = unit[torch.from_numpy(np.searchsorted(distinct, items))].double().numpy()
    counts = np.bincount(which).astype(np.float64)
    middles = _far_apart(vectors, counts, n_most)
    for _ in range(ROUNDS):
        nearest = (vectors @ middles.T).argmax(axis=1)
        kept = np.unique(nearest)
        middles = np.stack([_middle(vectors[nearest == place], counts[nearest == place]) for place in kept])
    cosines = vectors @ middles.T
    nearest = cosines.argmax(axis=1)
    found = []
    for place in np.unique(nearest):
        members = np.flatnonzero(nearest == place)
        best = members[np.argsort(-cosines[members, place], kind="stable")[:N_NAMED]]
        of_cluster = events[np.isin(which, members)]
        found.append(_Cluster(middles[place].astype(np.float32), of_cluster, items[best]))
    return sorted(found, key=lambda cluster: int(cluster.events[-1]))


def _far_apart(vectors: Float64Array, counts: Float64Array, n_most: int) -> Float64Array:
    """The most frequent text, then always the one least similar to those before: float64[start, dim]."""
    chosen = [int(counts.argmax())]
    largest = vectors @ vectors[chosen[0]]
    while len(chosen) < min(n_most, len(vectors)):
        chosen.append(int(largest.argmin()))
        largest = np.maximum(largest, vectors @ vectors[chosen[-1]])
    return vectors[chosen]


def _middle(vectors: Float64Array, counts: Float64Array) -> Float64Array:
    """The mean as a vector of unit length on the grid of `exact_units`; zeros if the vectors cancel out."""
    total = counts @ vectors
    length = float(np.sqrt(total @ total))
    rounded: Float64Array = np.round(total / max(length, 1 / GRID) * GRID) / GRID
    return rounded


def _as_slots(histories: Histories, clusters: list[_Cluster], lengths: IntArray) -> FurtherSlots:
    recency = [int(np.median(histories.recency[cluster.events])) for cluster in clusters]
    return FurtherSlots(
        texts=Ragged.from_lengths(np.arange(len(clusters)), lengths),
        ages=age_bucket(np.array(recency, np.int64)),
        kinds=np.full(len(clusters), place_of(CONSOLIDATED)),
        times=np.array([histories.times[cluster.events].max() for cluster in clusters], np.int64),
        vectors=np.stack([cluster.middle for cluster in clusters]),
        names=[_name(cluster, histories.times[cluster.events]) for cluster in clusters],
    )


def _name(cluster: _Cluster, times: IntArray) -> SlotName:
    return SlotName(
        n_events=len(times), first=int(times.min()), last=int(times.max()), items=tuple(cluster.named_by.tolist())
    )
