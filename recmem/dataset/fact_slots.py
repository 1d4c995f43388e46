"""The facts that a user's items share, as memory slots: "author: Ursula K. Le Guin", however many items have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from feature_store.arrays import Float64Array, IntArray
from feature_store.point_in_time.further_slots import FurtherSlots, SlotName
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.dataset.item_facts import ItemFacts
from recmem.dataset.shared_facts import newest_events, recency_of
from recmem.matching.memory_kinds import place_of
from recmem.matching.user_memory import age_bucket

if TYPE_CHECKING:
    from recmem.dataset.dataset import Dataset

KNOWLEDGE = "knowledge"
"""Name of the memory kind."""


def fact_slots(dataset: Dataset, users: IntArray, times: IntArray, histories: Histories) -> FurtherSlots | None:
    """The strongest facts of the items of each history's positive events, `DatasetConfig.fact_slots` at most.

    A fact's strength is its weight times the number of items that have it, where an item counts half after 20 visits.
    Its age and time are those of the newest of their events. None where no fact is remembered.
    """
    del users, times
    facts = dataset.catalogue.facts
    n_slots = dataset.config.fact_slots
    if not n_slots or not len(facts.vectors) or not len(histories):
        return None
    chosen = [_strongest(facts, histories, query, n_slots) for query in range(len(histories))]
    fact = np.concatenate([found for found, _ in chosen])
    if not len(fact):
        return None
    event = np.concatenate([newest for _, newest in chosen])
    distinct, texts = np.unique(fact, return_inverse=True)
    lengths = np.array([len(found) for found, _ in chosen], np.int64)
    return FurtherSlots(
        texts=Ragged.from_lengths(texts.astype(np.int64), lengths),
        ages=age_bucket(histories.recency[event]),
        kinds=np.full(len(texts), place_of(KNOWLEDGE)),
        times=histories.times[event],
        vectors=facts.vectors[distinct],
        names=[SlotName(facts.words[row]) for row in distinct.tolist()],
    )


def _strongest(facts: ItemFacts, histories: Histories, query: int, n_slots: int) -> tuple[IntArray, IntArray]:
    """The facts of one history's slots, the strongest last, and the place of the newest event of each."""
    items, place = newest_events(histories, query, 1, facts.held.shape[0])
    begins = facts.held.indptr[items].astype(np.int64)
    entries = Ragged.from_ranges(begins, facts.held.indptr[items + 1].astype(np.int64))
    fact, which = np.unique(facts.held.indices[entries.values], return_inverse=True)
    if not len(fact):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    weights = facts.held.data[entries.values] * np.repeat(recency_of(histories, place), entries.lengths)
    strength: Float64Array = np.bincount(which, weights).astype(np.float64)
    newest = np.full(len(fact), -1, np.int64)
    np.maximum.at(newest, which, np.repeat(place, entries.lengths))
    # Equal ones by their row, so that a slot does not depend on the order of events.
    order = np.argsort(-strength, kind="stable")[:n_slots][::-1]
    return fact[order].astype(np.int64), newest[order]
