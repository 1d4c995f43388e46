"""How strongly the facts of candidates are among those of a history: the same numbers for pairs and for a catalogue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_store.arrays import Float32Array, Float64Array, IntArray
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.dataset.item_facts import ItemFacts

FEATURES = ("facts_shared", "facts_max", "facts_negative")
HALF_LIFE = 20.0
"""Visits after which an event of the history counts half."""


@dataclass(frozen=True, eq=False)
class _Profile:
    """What one history says of facts: float64[fact] each."""

    shared: Float64Array
    """Sum over the items of positive events: the item's weight of the fact, of a row of length 1, times recency."""
    counts: Float64Array
    """How many items of positive events have the fact, the recent ones more."""
    negative: Float64Array
    """As `shared`, of negative events."""


def pair_facts(facts: ItemFacts, histories: Histories, candidates: Ragged) -> dict[str, Float32Array]:
    """The `FEATURES` of each query's candidates: float32[pair] by name. Rows beyond the facts' items have none.

    `facts_shared` sums the cosines of the candidate's facts and those of each item of a positive event, halved every 20
    visits; `facts_negative` does so for negative events. `facts_max` is the largest over the candidate's facts of the
    fact's weight times the number of items that have it, halved likewise.
    """
    columns = {name: np.zeros(len(candidates.values), np.float32) for name in FEATURES}
    for query in range(len(candidates)):
        profile = _profile(facts, histories, query)
        if profile is None:
            continue
        begin, end = candidates.offsets[query : query + 2]
        for name, values in _of_items(facts, profile, candidates.values[begin:end]).items():
            columns[name][begin:end] = values
    return columns


def catalogue_facts(facts: ItemFacts, histories: Histories, items: IntArray) -> dict[str, Float32Array]:
    """The same of each of these items for every history: float32[query, item] by name."""
    grids = {name: np.zeros((len(histories), len(items)), np.float32) for name in FEATURES}
    is_most = 2 * len(items) > facts.held.shape[0]
    for query in range(len(histories)):
        profile = _profile(facts, histories, query)
        if profile is None:
            continue
        found = _of_all(facts, profile) if is_most else _of_items(facts, profile, items)
        for name, values in found.items():
            if is_most:
                inside = items < len(values)
                grids[name][query, inside] = values[items[inside]]
            else:
                grids[name][query] = values
    return grids


def linked_items(facts: ItemFacts, histories: Histories, query: int, depth: int, most_items: int) -> IntArray:
    """At most `depth` items that share the most with a history, of facts that at most `most_items` items have."""
    profile = _profile(facts, histories, query)
    if profile is None:
        return np.empty(0, np.int64)
    shared = _of_all(facts, profile, most_items=most_items)["facts_shared"]
    linked = np.flatnonzero(shared > 0)
    best = linked[np.argsort(-shared[linked], kind="stable")][:depth]
    return np.sort(best)


def distinct_items(histories: Histories, query: int, sign: int, n_items: int) -> tuple[IntArray, Float64Array]:
    """The items of one history whose newest event has this sign, ascending, and how recent that is.

    1 for the newest visit, half of that 20 visits before.
    """
    items, place = newest_events(histories, query, sign, n_items)
    return items, recency_of(histories, place)


def newest_events(histories: Histories, query: int, sign: int, n_items: int) -> tuple[IntArray, IntArray]:
    """The same items, and the place of the newest event of each among all events."""
    begin, end = histories.items.offsets[query : query + 2]
    items, newest = np.unique(histories.items.values[begin:end][::-1], return_index=True)
    place = end - 1 - newest
    kept = (histories.signs[place] == sign) & (items < n_items)
    return items[kept], place[kept]


def recency_of(histories: Histories, place: IntArray) -> Float64Array:
    """How much these events count: 1 for the newest visit, half of that 20 visits before."""
    recency: Float64Array = 0.5 ** (histories.recency[place] / HALF_LIFE)
    return recency


def _profile(facts: ItemFacts, histories: Histories, query: int) -> _Profile | None:
    """None for a history without facts."""
    n_items, n_facts = facts.held.shape
    columns: dict[int, tuple[Float64Array, Float64Array]] = {}
    for sign in (1, -1):
        items, recency = distinct_items(histories, query, sign, n_items)
        entries = Ragged.from_ranges(
            facts.held.indptr[items].astype(np.int64), facts.held.indptr[items + 1].astype(np.int64)
        )
        fact = facts.held.indices[entries.values]
        weight = np.repeat(recency, entries.lengths)
        unit = facts.held.data[entries.values] / np.repeat(facts.norms[items], entries.lengths)
        sums: Float64Array = np.bincount(fact, weight * unit, minlength=n_facts).astype(np.float64)
        n_having: Float64Array = np.bincount(fact, weight, minlength=n_facts).astype(np.float64)
        columns[sign] = (sums, n_having)
    shared, counts = columns[1]
    profile = _Profile(shared=shared, counts=counts, negative=columns[-1][0])
    return profile if profile.counts.any() or profile.negative.any() else None


def _of_items(facts: ItemFacts, profile: _Profile, items: IntArray) -> dict[str, Float32Array]:
    """float32[item] by name, of these rows; those beyond the facts' items have none."""
    inside = np.flatnonzero(items < facts.held.shape[0])
    rows = items[inside]
    begins = facts.held.indptr[rows].astype(np.int64)
    entries = Ragged.from_ranges(begins, facts.held.indptr[rows + 1].astype(np.int64))
    place = inside[entries.row_index]
    norms = np.ones(len(items), np.float32)
    norms[inside] = facts.norms[rows]
    fact = facts.held.indices[entries.values]
    return _scores(profile, fact, facts.held.data[entries.values], place, norms)


def _of_all(facts: ItemFacts, profile: _Profile, most_items: int | None = None) -> dict[str, Float32Array]:
    """float32[item] by name, of every item: reads only the facts that the history has."""
    by_fact = facts.items_of_fact
    known = np.flatnonzero((profile.counts > 0) | (profile.negative > 0))
    begins = by_fact.indptr[known].astype(np.int64)
    ends = by_fact.indptr[known + 1].astype(np.int64)
    if most_items is not None:
        is_rare = ends - begins <= most_items
        known = known[is_rare]
        begins = begins[is_rare]
        ends = ends[is_rare]
    entries = Ragged.from_ranges(begins, ends)
    fact = known[entries.row_index]
    # By fact within each item too, as in `_of_items`: the sums are the same numbers.
    return _scores(profile, fact, by_fact.data[entries.values], by_fact.indices[entries.values], facts.norms)


def _scores(
    profile: _Profile, fact: IntArray, weight: Float32Array, place: IntArray, norms: Float32Array
) -> dict[str, Float32Array]:
    """Sums and maxima over entries: a fact of an item, its weight, and the item's place; by fact within an item."""
    wide = weight.astype(np.float64)
    largest = np.zeros(len(norms))
    np.maximum.at(largest, place, profile.counts[fact] * wide)
    return {
        "facts_shared": (np.bincount(place, profile.shared[fact] * wide, len(norms)) / norms).astype(np.float32),
        "facts_max": largest.astype(np.float32),
        "facts_negative": (np.bincount(place, profile.negative[fact] * wide, len(norms)) / norms).astype(np.float32),
    }
