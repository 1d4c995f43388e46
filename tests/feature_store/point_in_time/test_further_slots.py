from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feature_store.point_in_time.further_slots import FurtherSlots
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from further_slots import NAMES, notes
from slow_reference import Event
from strategies import N_USERS, event_log, logs, times

KIND = 3
ROWS = st.lists(st.lists(st.integers(0, 2), max_size=3), min_size=N_USERS, max_size=N_USERS)


def in_words(slots: FurtherSlots, row: int) -> list[tuple[str, int, int]]:
    """Name, age and first number of the vector of each slot of a query."""
    mine = slice(*slots.texts.offsets[row : row + 2])
    texts = slots.texts.values[mine].tolist()
    return [
        (slots.names[text].words, age, float(slots.vectors[text][0]))
        for text, age in zip(texts, slots.ages[mine].tolist(), strict=True)
    ]


@given(ROWS, ROWS)
def test_parts_stand_side_by_side_within_each_query(first: list[list[int]], second: list[list[int]]) -> None:
    parts = [notes(first, KIND), notes(second, KIND)]
    both = FurtherSlots.side_by_side(parts)
    assert len(both) == N_USERS
    for row in range(N_USERS):
        assert in_words(both, row) == [*in_words(parts[0], row), *in_words(parts[1], row)]


@given(ROWS, st.lists(st.integers(0, N_USERS - 1), max_size=4))
def test_queries_are_taken_with_their_slots(rows: list[list[int]], taken: list[int]) -> None:
    slots = notes(rows, KIND)
    found = slots.take(np.array(taken, np.int64))
    assert [in_words(found, place) for place in range(len(taken))] == [in_words(slots, row) for row in taken]


def test_slots_can_be_left_out() -> None:
    slots = notes([[0, 1], [], [2, 0]], KIND)
    kept = slots.where(slots.texts.values != 0)
    assert kept.texts.to_lists() == [[1], [], [2]]
    assert [NAMES[text] for text in kept.texts.values] == [NAMES[1], NAMES[2]]
    assert kept.times.tolist() == [1, 2]


@given(logs(), times(), ROWS)
def test_histories_keep_what_is_beside_their_events(log: list[Event], time: int, rows: list[list[int]]) -> None:
    histories = Histories.as_of(event_log(log), np.arange(N_USERS), np.full(N_USERS, time), 99)
    slots = notes(rows, KIND)
    with_notes = histories.beside(slots)
    assert with_notes.items == histories.items
    cut = with_notes.newest(1).take(np.array([2, 0]))
    assert cut.items == histories.newest(1).take(np.array([2, 0])).items
    assert cut.further is not None
    assert cut.further.texts.to_lists() == [rows[2], rows[0]]
    twice = with_notes.where(histories.signs > 0).beside(slots)
    assert twice.further is not None
    assert twice.further.texts.lengths.tolist() == [2 * len(row) for row in rows]
    assert histories.beside(None) is histories


def test_slots_of_items_keep_their_rows_beside_texts_of_their_own() -> None:
    zeros = np.zeros(2, np.int64)
    items = FurtherSlots.of_items(Ragged.from_lists([[5], [], [0]]), ages=zeros, kinds=zeros, times=zeros)
    own = notes([[1], [2], []], KIND)
    both = FurtherSlots.side_by_side([own, items, own])
    assert both.texts.to_lists() == [[1, -6, 4], [2, 5], [-1]]
    assert both.vectors.shape == (6, 8)
    assert FurtherSlots.side_by_side([items, items]).texts.to_lists() == [[-6, -6], [], [-1, -1]]
