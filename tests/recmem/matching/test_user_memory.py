from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.matching.user_memory import HISTORY, N_AGES, MemoryConfig, Slots, age_bucket
from slow_reference import Event
from strategies import N_USERS, event_log, logs, times

MEMORY = MemoryConfig(recent=99, negatives=True)
NEGATIVE, NEUTRAL, POSITIVE = range(3)


def histories(log: list[Event], time: int) -> Histories:
    return Histories.as_of(event_log(log), np.arange(N_USERS), np.full(N_USERS, time), 99)


def test_slots_of_a_case_by_hand() -> None:
    log = [Event(0, 3, 1, "skip"), Event(0, 1, 2, "rating", 3.0), Event(2, 4, 5), Event(0, 2, 7), Event(0, 0, 7)]
    slots = Slots.of(histories(log, 9), MEMORY)
    assert slots.rows.tolist() == [3, 1, 0, 2, 4]
    assert slots.memory_index.tolist() == [0, 0, 0, 0, 2]
    assert slots.kinds.tolist() == [NEGATIVE, NEUTRAL, POSITIVE, POSITIVE, POSITIVE]
    assert slots.ages.tolist() == [4, 3, 0, 0, 0]  # floor of 3 log2(1 + visits): two, one, none
    assert slots.n_memories == 3


@given(logs(), times())
def test_every_remembered_event_is_a_slot(log: list[Event], time: int) -> None:
    remembered = histories(log, time)
    slots = Slots.of(remembered, MEMORY)
    assert torch.bincount(slots.memory_index, minlength=N_USERS).tolist() == remembered.items.lengths.tolist()
    assert slots.rows.tolist() == remembered.items.values.tolist()
    assert (slots.kinds - 1).tolist() == remembered.signs.tolist()


def test_empty_histories_give_empty_memories() -> None:
    none = np.empty(0, np.int64)
    slots = Slots.of(Histories(Ragged.from_lists([[], []]), none, none.astype(np.int8), none), MEMORY)
    assert (len(slots.rows), slots.n_memories) == (0, 2)


@given(st.integers(0, 10**6))
def test_ages_are_counted_in_thirds_of_an_octave(recency: int) -> None:
    (bucket,) = age_bucket(np.array([recency])).tolist()
    assert 0 <= bucket < N_AGES
    if bucket < N_AGES - 1:
        assert 2 ** (bucket / 3) <= (1 + recency) * (1 + 1e-12)
        assert 1 + recency < 2 ** ((bucket + 1) / 3)
    else:
        assert 3 * math.log2(1 + recency) >= N_AGES - 1


def test_slots_move_to_another_table_without_their_memories_changing() -> None:
    slots = Slots.of(histories([Event(0, 3, 1), Event(1, 4, 2)], 9), MEMORY)
    moved = slots.moved_to(torch.tensor([7, 8]))
    assert moved.rows.tolist() == [7, 8]
    assert moved.memory_index is slots.memory_index
    assert moved.n_memories == slots.n_memories


def test_a_memory_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"recent: expected 1 to 200, got 0\. Only 200 events"):
        MemoryConfig(recent=0)


def test_all_candidates_see_the_newest_events_and_retrieve_from_those_before() -> None:
    log = [Event(0, item, 1 + item) for item in (4, 3, 2, 1, 0)] + [Event(1, 2, 3)]
    slots = Slots.of(histories(log, 9), MemoryConfig(recent=2, retrieved=1, retrieved_from=2))
    assert slots.rows.tolist() == [1, 2, 3, 4, 2]  # the oldest event is beyond those retrieved from
    assert slots.retrieved is not None
    assert (slots.retrieved.older.tolist(), slots.retrieved.n_kept) == ([True, True, False, False, False], 1)


def test_a_memory_without_retrieval_ends_with_its_newest_events() -> None:
    log = [Event(0, item, 1 + item) for item in range(5)]
    slots = Slots.of(histories(log, 9), MemoryConfig(recent=2))
    assert slots.rows.tolist() == [3, 4]
    assert slots.retrieved is None


def test_retrieval_from_less_than_is_retrieved_is_refused() -> None:
    with pytest.raises(ValueError, match=r"retrieved_from: expected at least retrieved \(9\), got 4\. Raise it"):
        MemoryConfig(retrieved=9, retrieved_from=4)
    with pytest.raises(ValueError, match=r"retrieved: expected 0 to 200, got -1"):
        MemoryConfig(retrieved=-1)


def test_a_memory_of_more_events_than_are_read_is_refused() -> None:
    assert MemoryConfig(recent=HISTORY).n_events == HISTORY
    with pytest.raises(ValueError, match=r"recent: expected 1 to 200, got 201\. Only 200 events are read"):
        MemoryConfig(recent=201)
    with pytest.raises(ValueError, match=r"recent \+ retrieved_from: expected at most 200, got 210"):
        MemoryConfig(recent=60, retrieved=1)


def test_a_memory_of_events_alone_keeps_its_other_settings() -> None:
    memory = MemoryConfig(recent=9, retrieved=2, consolidated=3, knowledge=4, negatives=False)
    expected = MemoryConfig(recent=9, retrieved=2, declared=False, consolidated=0, knowledge=0, negatives=False)
    assert memory.of_events == expected


@pytest.mark.parametrize(
    "setting", [{"negatives": False}, {"consolidated": 1}, {"knowledge": 1}, {"not_clicked": 1}], ids=str
)
def test_a_memory_that_depends_on_older_events_reads_them_all(setting: dict[str, int]) -> None:
    # Serving reads them all, and what a memory holds must not depend on who reads.
    assert MemoryConfig(**setting).n_read() == HISTORY
    assert MemoryConfig(negatives=True).n_read() == MemoryConfig().recent


def test_negative_events_that_are_left_out_make_older_ones_read_only_where_there_are_some() -> None:
    memory = MemoryConfig(recent=3, negatives=False)
    assert (memory.n_read(), memory.n_read(of_negatives=False)) == (HISTORY, 3)
    assert MemoryConfig(recent=3, consolidated=1).n_read(of_negatives=False) == HISTORY
