"""Trees as arrays: LightGBM's own sums to the bit, whatever the splits, the missing values and the categories."""

from __future__ import annotations

import numpy as np
import pytest

from lightgbm_trees import CATEGORY, OPTIONS, UNSEEN_CATEGORIES, fitted, values
from recmem.ranking import trees as trees_module
from recmem.ranking import trees_numba
from recmem.ranking.tree_arrays import tree_arrays
from recmem.ranking.trees import Trees
from tests.soak import malformed_trees
from tolerances import close


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_sums_are_those_of_lightgbm_to_the_bit(
    options: dict[str, object], n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees_numba, "ROWS_PER_TASK", 700)
    booster = fitted(**options)
    matrix = values(seed=1)
    matrix[:8, CATEGORY] = UNSEEN_CATEGORIES
    sums = Trees(booster.model_to_string()).scores(matrix, n_threads=n_threads)
    close(sums, booster.predict(matrix, raw_score=True), "exact")
    assert len(np.unique(sums)) > 10 or "min_data_in_leaf" in options


@pytest.mark.parametrize("threshold", ["-5e-36", "0", "5e-36"])
def test_a_value_next_to_0_counts_as_0(threshold: str) -> None:
    model = malformed_trees.Model(fitted(1, num_leaves=2).model_to_string())
    (line,) = (line for line in model.trees[0] if line.startswith("threshold="))
    model.trees[0][model.trees[0].index(line)] = f"threshold={threshold}"
    trees = Trees(model.text())
    matrix = np.repeat(np.array([[-1e-34], [-1e-35], [-1e-36], [0], [1e-36], [1e-35], [1e-34]], np.float32), 4, axis=1)
    sums = trees.scores(matrix, n_threads=1)
    close(sums, trees.booster.predict(matrix, raw_score=True), "exact")
    assert len(np.unique(sums[1:6])) == 1
    assert sums[0] != sums[6]


def test_categories_that_go_left_are_bits_of_words() -> None:
    arrays = tree_arrays(fitted(max_cat_threshold=32).model_to_string())
    assert (arrays.words_begin >= 0).any()
    assert arrays.n_words.max() == 3  # 70 categories


def test_leaves_and_children_of_two_trees_by_hand() -> None:
    arrays = tree_arrays(fitted(2, num_leaves=2).model_to_string())
    assert arrays.roots.tolist() == [0, 1]
    assert arrays.left.tolist() == [~0, ~2]
    assert arrays.right.tolist() == [~1, ~3]
    assert len(arrays.leaf_values) == 4
    assert arrays.n_inputs == 4


def test_trees_of_a_booster_keep_it_and_those_of_a_text_read_it_when_it_is_asked_for() -> None:
    booster = fitted(3)
    assert Trees.of(booster).booster is booster
    again = Trees(booster.model_to_string()).booster
    close(again.predict(values()), booster.predict(values()), "exact")


def test_no_row_has_no_sum() -> None:
    assert Trees(fitted(2).model_to_string()).scores(values(0), n_threads=1).shape == (0,)


def test_without_numba_lightgbm_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = Trees.of(fitted())
    expected = trees.scores(values(), n_threads=1)
    monkeypatch.setattr(trees_module, "find_spec", lambda name: None)
    monkeypatch.setattr(trees_numba, "tree_sums", None)
    close(trees.scores(values(), n_threads=1), expected, "exact")


def test_a_text_that_lightgbm_cannot_read_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ranker.txt: expected trees that LightGBM reads, got an error"):
        _ = Trees("no trees").booster
