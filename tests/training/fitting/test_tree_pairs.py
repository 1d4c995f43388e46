from __future__ import annotations

import numpy as np

from tolerances import close
from training.fitting.tree_pairs import TreePairs

N_PAIRS = 6
PAIRS = TreePairs(
    matrix=np.arange(N_PAIRS, dtype=np.float32)[:, None],
    labels=np.array([1, 0, 0, 1, 0, 1], np.int8),
    lengths=np.array([2, 3, 1]),
    start=np.arange(N_PAIRS, dtype=np.float32) / 2,
    weights=np.array([1, 2, 3, 4, 5, 6], np.float32),
    positions=np.array([0, 1, 0, 1, 2, 0]),
)
COLUMNS = ("matrix", "labels", "start", "weights", "positions")


def same(found: TreePairs, rows: list[int]) -> None:
    for name in COLUMNS:
        close(getattr(found, name), getattr(PAIRS, name)[rows], "exact")


def test_a_split_gives_each_part_its_queries_with_all_that_belongs_to_them() -> None:
    early, late = PAIRS.split(2)
    same(early, [0, 1, 2, 3, 4])
    same(late, [5])
    assert early.lengths.tolist() == [2, 3]
    assert late.lengths.tolist() == [1]


def test_pairs_that_are_left_out_shorten_their_queries() -> None:
    found = PAIRS.take(np.array([True, True, False, True, True, False]))
    same(found, [0, 1, 3, 4])
    assert found.lengths.tolist() == [2, 2, 0]
    assert PAIRS.take(np.ones(N_PAIRS, bool)) is PAIRS


def test_pairs_are_fitted_with_weights_and_positions_and_validated_without() -> None:
    fitted_on = PAIRS.dataset(["f0"]).construct()
    close(fitted_on.get_weight(), PAIRS.weights, "exact")
    close(fitted_on.get_position(), PAIRS.positions, "exact")
    close(fitted_on.get_init_score(), PAIRS.start, "exact")
    validated = PAIRS.dataset(["f0"], reference=PAIRS.dataset(["f0"])).construct()
    assert validated.get_weight() is None
    assert validated.get_position() is None
    close(validated.get_init_score(), PAIRS.start, "exact")
