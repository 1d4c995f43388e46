"""How strongly a candidate's facts are among those of a history: by hand, against a slow count, alone and together."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.dataset.item_facts import ItemFacts
from recmem.dataset.shared_facts import FEATURES, catalogue_facts, linked_items, pair_facts
from tolerances import close

N_ITEMS = 12
N_FACTS = 7


def histories(*rows: list[tuple[int, int, int]]) -> Histories:
    """Per row the events, oldest first: item, sign, visits ago."""
    flat = [event for row in rows for event in row]
    return Histories(
        Ragged.from_lists([[item for item, _, _ in row] for row in rows]),
        np.arange(len(flat), dtype=np.int64),
        np.array([sign for _, sign, _ in flat], np.int8),
        np.array([age for _, _, age in flat], np.int64),
    )


def facts_of(matrix: np.ndarray) -> ItemFacts:
    held = sp.csr_matrix(matrix.astype(np.float32))
    return ItemFacts(tuple(f"fact {number}" for number in range(matrix.shape[1])), held)


def test_a_case_worked_by_hand() -> None:
    # Items 0 and 1 have fact 0 of weight 2; item 1 also fact 1 of weight 1; item 2 fact 1 alone.
    facts = facts_of(np.array([[2.0, 0], [2, 1], [0, 1], [0, 0]]))
    history = histories([(0, 1, 20), (2, 1, 0), (1, -1, 0)])
    found = pair_facts(facts, history, Ragged.from_lists([[0, 1, 2, 3, 9]]))
    root = np.sqrt(5)
    close(found["facts_shared"], [0.5, 0.5 * 2 / root + 1 / root, 1.0, 0.0, 0.0], "float32")
    close(found["facts_max"], [0.5 * 2, 1.0, 1.0, 0.0, 0.0], "float32")
    close(found["facts_negative"], [2 / root, 1.0, 1 / root, 0.0, 0.0], "float32")


def test_an_item_that_was_taken_often_counts_once_by_its_newest_event() -> None:
    facts = facts_of(np.array([[1.0], [1.0]]))
    once = pair_facts(facts, histories([(0, 1, 0)]), Ragged.from_lists([[1]]))
    often = pair_facts(facts, histories([(0, -1, 3), (0, 1, 2), (0, 1, 0)]), Ragged.from_lists([[1]]))
    assert {name: column.tolist() for name, column in once.items()} == {
        name: column.tolist() for name, column in often.items()
    }


def test_neutral_events_say_nothing() -> None:
    facts = facts_of(np.array([[1.0], [1.0]]))
    found = pair_facts(facts, histories([(0, 0, 0)]), Ragged.from_lists([[1]]))
    assert [found[name].item() for name in FEATURES] == [0, 0, 0]


EVENTS = st.lists(st.tuples(st.integers(0, N_ITEMS - 1), st.sampled_from([-1, 0, 1]), st.integers(0, 50)), max_size=6)


@given(st.lists(EVENTS, min_size=1, max_size=4), st.integers(0, 2**16))
def test_pairs_equal_the_catalogue_and_a_slow_count(rows: list[list[tuple[int, int, int]]], seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix = np.where(random.random((N_ITEMS, N_FACTS)) < 0.3, random.random((N_ITEMS, N_FACTS)) + 0.1, 0)
    facts = facts_of(matrix)
    history = histories(*rows)
    everything = np.arange(N_ITEMS)
    grid = catalogue_facts(facts, history, everything)
    pairs = pair_facts(facts, history, Ragged.from_lists([everything] * len(rows)))
    few = catalogue_facts(facts, history, np.array([3, 5]))
    for name in FEATURES:
        assert grid[name].ravel().tolist() == pairs[name].tolist()
        assert few[name].tolist() == grid[name][:, [3, 5]].tolist()
    unit = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9)
    for query, events in enumerate(rows):
        newest = {item: (sign, age) for item, sign, age in events}
        for item in range(N_ITEMS):
            shared = sum(
                0.5 ** (age / 20) * (unit[item] @ unit[own]) for own, (sign, age) in newest.items() if sign > 0
            )
            counts = [
                sum(0.5 ** (age / 20) for own, (sign, age) in newest.items() if sign > 0 and matrix[own, fact])
                for fact in range(N_FACTS)
            ]
            close(grid["facts_shared"][query, item], shared, "float32")
            close(grid["facts_max"][query, item], float(np.max(matrix[item] * counts)), "float32")


def test_linked_items_share_rare_facts_and_not_common_ones_alone() -> None:
    matrix = np.zeros((N_ITEMS, 2))
    matrix[:8, 0] = 1  # common
    matrix[[0, 9, 10], 1] = 2
    facts = facts_of(matrix)
    history = histories([(0, 1, 0)], [])
    assert linked_items(facts, history, 0, depth=10, most_items=5).tolist() == [0, 9, 10]
    assert linked_items(facts, history, 0, depth=2, most_items=20).tolist() == [0, 9]
    assert linked_items(facts, history, 1, depth=10, most_items=20).tolist() == []
