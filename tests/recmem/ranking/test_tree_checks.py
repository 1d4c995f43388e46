"""LightGBM's text: what training writes is taken, whatever the data; the rest is refused before LightGBM sees it."""

from __future__ import annotations

import random

import lightgbm as lgb
import numpy as np
import pytest

from recmem.ranking.ranker import Ranker
from recmem.ranking.tree_checks import MAX_DEPTH, check_trees
from small_ranker import ranker
from tests.soak import malformed_trees


def trained(rounds: int = 3, *, names: list[str] | None = None, missing: float = 0.0, **options: object) -> str:
    """The text of trees over random values, some of them missing or infinite."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(2000, 3)).astype(np.float32)
    values[rng.random(values.shape) < missing] = np.nan
    values[:2, 0] = np.inf
    labels = ((np.nan_to_num(values[:, 1]) + np.isnan(values[:, 2])) > 1).astype(np.int8)
    data = lgb.Dataset(
        values, label=labels, group=[20] * 100, init_score=np.zeros(2000), feature_name=names or "auto",
        params={"verbose": -1},
    )  # fmt: skip
    parameters = {"objective": "lambdarank", "verbose": -1, "num_leaves": 7, "min_data_in_leaf": 1, "num_threads": 1}
    parameters |= options
    return str(lgb.train(parameters, data, num_boost_round=rounds).model_to_string())


def with_line(text: str, key: str, value: str, *, tree: int = 0) -> str:
    """The text with another value of a key of one tree, and the sizes of the trees counted again."""
    model = malformed_trees.Model(text)
    lines = model.trees[tree]
    place = next(number for number, line in enumerate(lines) if line.startswith(f"{key}="))
    lines[place] = f"{key}={value}"
    return model.text()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"missing": 0.3},
        {"names": ["größe", "a_b", "c=1"]},
        {"bagging_fraction": 0.5, "bagging_freq": 1, "bagging_by_query": True, "feature_fraction": 0.5},
        {"num_leaves": 255, "min_data_in_leaf": 1, "rounds": 20},
        {"min_data_in_leaf": 5000},  # no split is possible: one leaf
        {"objective": "regression"},
        {"objective": "binary"},
    ],
)
def test_what_training_writes_is_taken(options: dict[str, object]) -> None:
    check_trees(trained(**options))  # type: ignore[arg-type]


def test_a_split_of_known_from_missing_values_has_an_infinite_threshold_and_is_taken() -> None:
    text = trained(missing=0.3, rounds=20)
    assert any("inf" in line for line in text.split("\n") if line.startswith("threshold="))
    check_trees(text)


def test_what_lightgbm_writes_again_is_taken() -> None:
    text = trained(missing=0.2)
    again = lgb.Booster(model_str=text).model_to_string()
    assert again == text
    check_trees(again)


def with_categories(n: int, rounds: int = 3) -> str:
    """The text of trees that split a third input of `n` categories, some of them missing."""
    rng = np.random.default_rng(2)
    values = rng.normal(size=(4000, 3)).astype(np.float32)
    values[:, 2] = rng.integers(0, n, 4000)
    values[rng.random(4000) < 0.1, 2] = np.nan
    labels = ((values[:, 2] % 3 == 0) | (values[:, 0] > 1)).astype(np.int8)
    data = lgb.Dataset(
        values, label=labels, group=[40] * 100, categorical_feature=[2], params={"verbose": -1}, feature_name="auto"
    )
    parameters = {"objective": "lambdarank", "verbose": -1, "num_leaves": 7, "min_data_in_leaf": 20, "num_threads": 1}
    return str(lgb.train(parameters, data, num_boost_round=rounds).model_to_string())


@pytest.mark.parametrize("n", [2, 5, 40, 200])
def test_splits_of_categories_are_taken(n: int) -> None:
    text = with_categories(n, rounds=10)
    assert any(line.startswith("num_cat=") and line != "num_cat=0" for line in text.split("\n"))
    check_trees(text)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("num_cat", "2", "2 splits of categories in tree 0, each with a set of its own"),
        ("num_cat", "99", "0 to 6 in num_cat of tree 0, got 99"),
        ("cat_boundaries", "0 9", "9 in cat_threshold of tree 0, got 2"),
        ("cat_boundaries", "1 2", "cat_boundaries of tree 0 that ascend from 0, got '1 2'"),
        ("cat_boundaries", "0 0", "cat_boundaries of tree 0 that ascend from 0, got '0 0'"),
        ("cat_boundaries", "0", "2 in cat_boundaries of tree 0, got 1"),
        ("cat_threshold", "1 -1", "0 to 4294967295 in cat_threshold of tree 0, got -1"),
        ("cat_threshold", "1 4294967296", "0 to 4294967295 in cat_threshold"),
    ],
)
def test_sets_of_categories_that_lead_outside_their_words_are_refused(key: str, value: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_trees(with_line(with_categories(40), key, value))


def test_a_split_of_categories_must_name_a_set_that_is_there() -> None:
    text = with_categories(40)
    lines = dict(line.split("=", 1) for line in text.split("\n") if "=" in line and not line.startswith("["))
    # Of the last tree, whose lines come last.
    thresholds = lines["threshold"].split(" ")
    place = next(n for n, kind in enumerate(lines["decision_type"].split(" ")) if int(kind) & 1)
    for named in ("1", "-1", "0.5", "inf"):
        changed = " ".join([*thresholds[:place], named, *thresholds[place + 1 :]])
        with pytest.raises(ValueError, match="splits of categories in tree 2, each with a set of its own"):
            check_trees(with_line(text, "threshold", changed, tree=2))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("left_child", "0 -1 -2 -3 -4 -5", r"left_child and right_child of tree 0 that make one tree, got child 0 of"),
        (
            "right_child",
            "1 1 1 1 1 1",
            r"left_child and right_child of tree 0 that make one tree, got child 1 a",
        ),
        ("left_child", "1 2 3 4 5 99", r"-7 to 5 in left_child of tree 0, got 1 to 99"),
        ("split_feature", "0 0 0 0 0 3", r"0 to 2 in split_feature of tree 0, got 0 to 3"),
        ("split_feature", "0 0", r"6 in split_feature of tree 0, got 2"),
        ("decision_type", "2 2 2 2 2 1", r"0 splits of categories in tree 0, each with a set of its own, got"),
        ("decision_type", "2 2 2 2 2 3", r"splits at numbers or of categories in decision_type of tree 0"),
        ("num_leaves", "9999999999", r"1 to 4096 in num_leaves of tree 0"),
        (
            "num_cat",
            "1",
            r"the lines num_leaves, .*, cat_boundaries, cat_threshold, is_linear, shrinkage in tree 0, got",
        ),
        ("is_linear", "1", r"is_linear=0 in tree 0, got '1'"),
        ("leaf_value", "0 0 0 0 0 0 nan", r"finite numbers in leaf_value of tree 0"),
        ("leaf_value", "0 0 0 0 0 0 1e400", r"finite numbers in leaf_value of tree 0"),
        ("leaf_value", "0 0 0 0 0 0", r"7 numbers in leaf_value of tree 0, got 6"),
        ("threshold", "0 0 0 0 0 nan", r"finite numbers in threshold of tree 0"),
        ("internal_count", "0 0 0 0 0 0", r"1 to 2147483647 in internal_count of tree 0, got 0 to 0"),
        ("internal_count", "9 9 9 9 9 9", r"internal_count of tree 0 to be the sum of both sides, got 9 at split 0"),
        ("shrinkage", "1 1", r"1 numbers in shrinkage of tree 0, got 2"),
    ],
)
def test_a_malformed_tree_is_refused_with_what_is_wrong(key: str, value: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"^ranker.txt: expected {words}"):
        check_trees(with_line(trained(), key, value))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("tree\n", "forest\n", "a LightGBM model, which begins with 'tree'"),
        ("num_class=1\n", "num_class=0\n", "num_class=1, got '0'"),
        ("max_feature_idx=2", "max_feature_idx=3", "4 different feature_names"),
        ("Column_1", "Column_0", "3 different feature_names"),
        ("objective=lambdarank", "objective=multiclass num_class:3", "an objective that recmem trains with"),
        ("tree_sizes=", "tree_sizes=1 ", "tree 0 in as many bytes as tree_sizes says"),
        ("tree_sizes=", "tree_sizes=-5 ", "1 to 33554432 in tree_sizes"),
        ("\nlabel_index=0", "\nlabel_index=0\naverage_output", "the lines version, .* header, got 'average_output'"),
        ("\nparameters:\n", "\nparameters:\n[input_model: /etc/passwd]\n", "parameters as LightGBM writes them"),
        ("[device_type: cpu]", "[device_type: gpu]", "the parameter device_type as recmem trains, got 'gpu'"),
        ("[num_gpu: 1]", "[num_gpu: 99999999999]", "the parameter num_gpu within 32 bits"),
        ("pandas_categorical:null", 'pandas_categorical:[["a"]]', "end of parameters and pandas_categorical:null"),
        ("feature_importances:\n", "feature_importances:\nnobody=1\n", "feature_importances of the feature_names"),
        ("\n", "\r\n", "a LightGBM model, which begins with 'tree'"),
    ],
)  # fmt: skip
def test_a_malformed_header_or_end_is_refused(before: str, after: str, words: str) -> None:
    text = trained()
    assert before in text
    with pytest.raises(ValueError, match=f"^ranker.txt: expected {words}"):
        check_trees(text.replace(before, after))


def test_the_longest_ways_through_the_trees_are_counted() -> None:
    assert check_trees(trained(num_leaves=2, rounds=5)) == 5
    assert check_trees(trained(min_data_in_leaf=5000)) == 0
    assert 3 * 3 <= check_trees(trained(num_leaves=7, rounds=3)) <= 3 * 6


def test_a_longer_way_than_lightgbm_can_follow_is_refused() -> None:
    n_leaves = MAX_DEPTH + 2
    n_splits = n_leaves - 1
    chain = {
        "num_leaves": [n_leaves],
        "left_child": [*range(1, n_splits), -1],
        "right_child": [-leaf - 1 for leaf in range(1, n_leaves)],
        "internal_count": [n_leaves - split for split in range(n_splits)],
        "split_feature": [0] * n_splits,
        "split_gain": [0] * n_splits,
        "threshold": [0] * n_splits,
        "internal_value": [0] * n_splits,
        "internal_weight": [0] * n_splits,
        "decision_type": [2] * n_splits,
        "leaf_value": [0] * n_leaves,
        "leaf_weight": [1] * n_leaves,
        "leaf_count": [1] * n_leaves,
    }  # fmt: skip
    text = trained(rounds=1)
    for key, values in chain.items():
        text = with_line(text, key, " ".join(map(str, values)))
    with pytest.raises(ValueError, match=rf"at most {MAX_DEPTH} splits on a way through tree 0, got {n_splits}"):
        check_trees(text)


def test_no_malformed_text_of_the_campaign_reaches_lightgbm(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(**_: object) -> None:
        raise AssertionError("LightGBM was given a malformed text")

    files = ranker().to_files()
    monkeypatch.setattr(lgb, "Booster", read)
    for seed in range(400):
        text, what = malformed_trees.malformed(files["ranker.txt"], random.Random(seed))
        with pytest.raises(ValueError, match=r"^ranker\.txt: expected .*, got .*\. \w+"):
            Ranker.from_files(files | {"ranker.txt": text})
        assert what
