"""Facts as memory slots: which, how old, and with what words and vectors."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import scipy.sparse as sp

from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.dataset.dataset import Dataset
from recmem.dataset.fact_slots import KNOWLEDGE, fact_slots
from recmem.dataset.item_facts import ItemFacts
from recmem.matching.memory_kinds import place_of
from recmem.matching.user_memory import age_bucket

FACTS = ItemFacts(
    ("author: A", "genre: g", "author: B"),
    # Three items: of A and g, of A, of g and B.
    sp.csr_matrix(np.array([[2.0, 1, 0], [2, 0, 0], [0, 1, 3]], np.float32)),
    np.eye(3, dtype=np.float32),
)
HISTORIES = Histories(
    Ragged.from_lists([[0, 1, 2], [], [2, 1]]),
    np.array([10, 20, 30, 40, 50]),
    np.array([1, 1, 1, -1, 1], np.int8),
    np.array([2, 1, 0, 1, 0]),
)


def dataset(n_slots: int, facts: ItemFacts = FACTS) -> Dataset:
    """What the source reads of a dataset."""
    config = SimpleNamespace(fact_slots=n_slots)
    return cast(Dataset, SimpleNamespace(catalogue=SimpleNamespace(facts=facts), config=config))


def test_the_strongest_facts_of_positive_items_are_slots_with_the_age_of_their_newest_event() -> None:
    users = np.zeros(3, np.int64)
    found = fact_slots(dataset(2), users, users, HISTORIES)
    assert found is not None
    names = [[found.names[text].words for text in row] for row in found.texts.to_lists()]
    # 2 * (0.5 ** (2 / 20) + 0.5 ** (1 / 20)) of A exceeds 3 of B; the strongest comes last. The third has A alone.
    assert names == [["author: B", "author: A"], [], ["author: A"]]
    assert found.ages.tolist() == age_bucket(np.array([0, 1, 0])).tolist()
    assert found.times.tolist() == [30, 20, 50]
    assert found.kinds.tolist() == [place_of(KNOWLEDGE)] * 3
    shown = [found.vectors[text].tolist() for text in found.texts.row(0)]
    assert shown == [[0, 0, 1], [1, 0, 0]]


def test_nothing_is_remembered_where_no_slots_are_asked_for_or_no_fact_is_known() -> None:
    users = np.zeros(3, np.int64)
    assert fact_slots(dataset(0), users, users, HISTORIES) is None
    assert fact_slots(dataset(2, replace(FACTS, vectors=np.empty((0, 0), np.float32))), users, users, HISTORIES) is None
    assert fact_slots(dataset(2), users[:0], users[:0], HISTORIES.take(np.array([], np.int64))) is None
    nobody = HISTORIES.take(np.array([1]))
    assert fact_slots(dataset(2), users[:1], users[:1], nobody) is None
