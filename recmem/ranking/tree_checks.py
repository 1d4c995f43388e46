"""Checks a LightGBM model's text before LightGBM reads it: LightGBM trusts every count and position in it.

A child that is its own parent makes LightGBM loop endlessly; a position outside an array, or a tree of another size
than the stated one, ends the process. So the text must have exactly the form in which training writes it: the same keys
in the same order, one binary tree from each root, finite numbers.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from math import isinf

from feature_store.excerpts import excerpt

MAX_BYTES = 32 * 2**20
MAX_TREES = 50_000
MAX_LEAVES = 4096
"""Of one tree."""
MAX_DEPTH = 512
"""Splits from a root to a leaf. LightGBM's contributions recurse this deep and take memory with its square."""
MAX_INPUTS = 20_000

_FILE = "ranker.txt"
_SHOWN_CHARS = 60
_OBJECTIVE = re.compile(r"lambdarank|rank_xendcg|regression|binary sigmoid:\d{1,3}(\.\d{1,9})?", re.ASCII)
_DECISIONS = {0, 2, 8, 10}
"""Splits at a number. Bit 1: missing values go left. Bit 3: there are missing values."""
_CATEGORY_DECISIONS = {1, 9}
"""Splits of categories: bit 0. Missing values go right."""
_HEADER = (
    "version",
    "num_class",
    "num_tree_per_iteration",
    "label_index",
    "max_feature_idx",
    "objective",
    "feature_names",
    "feature_infos",
    "tree_sizes",
)
_CONSTANTS = {"version": "v4", "num_class": "1", "num_tree_per_iteration": "1", "label_index": "0"}
_TREE = (
    "num_leaves",
    "num_cat",
    "split_feature",
    "split_gain",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "leaf_value",
    "leaf_weight",
    "leaf_count",
    "internal_value",
    "internal_weight",
    "internal_count",
    "is_linear",
    "shrinkage",
)
_OF_CATEGORIES = ("cat_boundaries", "cat_threshold")
"""Further lines, before `is_linear`, of a tree with splits of categories: where the set of each split begins among the
32-bit words, and the words, whose bits are the categories that go left."""
MAX_CATEGORY_WORDS = 1 << 16
"""Of a tree."""
_SPLIT_NUMBERS = ("split_gain", "internal_value", "internal_weight")
_INTEGER = r"(0|-?[1-9]\d{0,9})"
_INTEGERS = re.compile(rf"{_INTEGER}( {_INTEGER})*", re.ASCII)
_NUMBER = r"-?\d{1,20}(\.\d{1,20})?(e[+-]?\d{1,3})?"
_NUMBERS = re.compile(rf"{_NUMBER}( {_NUMBER})*", re.ASCII)
# A split of all known values from the missing ones is written as a threshold of inf.
_THRESHOLDS = re.compile(rf"(-?inf|{_NUMBER})( (-?inf|{_NUMBER}))*", re.ASCII)
# An input of categories has those that it was fitted on, -1 for missing ones.
_CATEGORIES = r"(-1|\d{1,5})(:(-1|\d{1,5}))+"
_RANGE = rf"(none|\[(-inf|{_NUMBER}):(inf|{_NUMBER})\]|{_CATEGORIES})"
_RANGES = re.compile(rf"{_RANGE}( {_RANGE})*", re.ASCII)
_LARGEST_INT = 2**31 - 1
_AFTER_TREES = "end of trees\n\nfeature_importances:\n"
_PARAMETERS = "\nparameters:\n"
_END = "\n\nend of parameters\n\npandas_categorical:null\n"
# Parameters are kept with a model but not used by it. Few have words as values; names of files and hosts stay empty.
_PARAMETER = re.compile(
    rf"\[([a-z0-9_]{{1,64}}): ((?P<numbers>{_NUMBER}(,{_NUMBER})*)?|(?P<words>[a-z0-9_@,]{{1,200}}))\]", re.ASCII
)
_WORDS = {
    "boosting": {"gbdt"},
    "objective": {"lambdarank", "rank_xendcg", "regression", "binary"},
    "tree_learner": {"serial"},
    "device_type": {"cpu"},
    "data_sample_strategy": {"bagging", "goss"},
    "monotone_constraints_method": {"basic", "intermediate", "advanced"},
}


def check_trees(text: str) -> int:
    """The splits on the longest way through each tree, in all: what a prediction can take.

    Raises ValueError unless the text is a model as training writes it, which LightGBM can read and predict with. Such a
    model has one tree per round, splits at numbers or of categories, and constant leaves. Sizes are bounded by
    `MAX_BYTES`, `MAX_TREES`, `MAX_LEAVES` and `MAX_DEPTH`.
    """
    if len(text) > MAX_BYTES:
        raise _refused(f"at most {MAX_BYTES:,} bytes", f"{len(text):,}", "Train with fewer rounds or leaves.")
    header, begin = _read_header(text)
    n_inputs = len(header["feature_names"].split(" "))
    n_steps = 0
    for number, size in enumerate(header["tree_sizes"].split(" ")):
        end = begin + int(size)
        n_steps += _check_tree(text[begin:end], number, n_inputs)
        begin = end
    _check_end(text, begin, header["feature_names"].split(" "))
    return n_steps


def _read_header(text: str) -> tuple[dict[str, str], int]:
    """The values at the top of the text by key, and where the first tree begins."""
    end = text.find("\n\n")
    lines = text[: max(end, 0)].split("\n")
    if lines[0] != "tree":
        raise _refused("a LightGBM model, which begins with 'tree'", _shown(text))
    header = _values(lines[1:], _HEADER, "the header")
    for key, value in _CONSTANTS.items():
        if header[key] != value:
            raise _refused(f"{key}={value}", _shown(header[key]))
    if not _OBJECTIVE.fullmatch(header["objective"]):
        raise _refused("an objective that recmem trains with, such as lambdarank", _shown(header["objective"]))
    names = header["feature_names"].split(" ")
    n_inputs = _integer(header["max_feature_idx"], "max_feature_idx", 0, MAX_INPUTS - 1) + 1
    if len(names) != n_inputs or len(set(names)) != n_inputs or not all(map(_is_plain, names)):
        raise _refused(
            f"{n_inputs} different feature_names, one more than max_feature_idx", _shown(header["feature_names"])
        )
    ranges = header["feature_infos"]
    if not _RANGES.fullmatch(ranges) or ranges.count(" ") != n_inputs - 1:
        raise _refused(f"{n_inputs} feature_infos, each a range of numbers or none", _shown(ranges))
    sizes = _integers(header["tree_sizes"], "tree_sizes", None, 1, MAX_BYTES)
    if len(sizes) > MAX_TREES:
        raise _refused(f"at most {MAX_TREES:,} trees", f"{len(sizes):,}", "Train with fewer rounds.")
    return header, end + 2


def _check_tree(text: str, number: int, n_inputs: int) -> int:
    """The splits on the longest way through the tree."""
    where = f"tree {number}"
    if not text.startswith(f"Tree={number}\n") or not text.endswith("\n\n\n"):
        raise _refused(f"{where} in as many bytes as tree_sizes says", _shown(text))
    lines = text[:-3].split("\n")[1:]
    values = _values(lines, _keys_of_tree(lines), where)
    n_leaves = _integer(values["num_leaves"], f"num_leaves of {where}", 1, MAX_LEAVES)
    n_categorical = _integer(values["num_cat"], f"num_cat of {where}", 0, n_leaves - 1)
    if values["is_linear"] != "0":
        raise _refused(f"is_linear=0 in {where}", _shown(values["is_linear"]))
    _numbers(values["shrinkage"], f"shrinkage of {where}", 1)
    _numbers(values["leaf_value"], f"leaf_value of {where}", n_leaves)
    if n_leaves == 1:
        _check_single_leaf(values, where)
        return 0
    n_splits = n_leaves - 1
    _numbers(values["leaf_weight"], f"leaf_weight of {where}", n_leaves)
    for key in _SPLIT_NUMBERS:
        _numbers(values[key], f"{key} of {where}", n_splits)
    _numbers(values["threshold"], f"threshold of {where}", n_splits, form=_THRESHOLDS)
    _integers(values["split_feature"], f"split_feature of {where}", n_splits, 0, n_inputs - 1)
    decisions = _integers(values["decision_type"], f"decision_type of {where}", n_splits, 0, max(_DECISIONS))
    if not (_DECISIONS | _CATEGORY_DECISIONS).issuperset(decisions):
        raise _refused(
            f"splits at numbers or of categories in decision_type of {where}", _shown(values["decision_type"])
        )
    _check_categories(values, decisions, n_categorical, where)
    left, right = (
        _integers(values[key], f"{key} of {where}", n_splits, -n_leaves, n_splits - 1)
        for key in ("left_child", "right_child")
    )
    n_steps = _longest_way(left, right, where)
    leaf_counts = _integers(values["leaf_count"], f"leaf_count of {where}", n_leaves, 0, _LARGEST_INT)
    counts = _integers(values["internal_count"], f"internal_count of {where}", n_splits, 1, _LARGEST_INT)
    # Position -1 of both lists is leaf 0, -2 is leaf 1: in this order a child's number is its position.
    count_of = counts + leaf_counts[::-1]
    for split, count in enumerate(counts):
        if count != count_of[left[split]] + count_of[right[split]]:
            raise _refused(f"internal_count of {where} to be the sum of both sides", f"{count} at split {split}")
    return n_steps


def _keys_of_tree(lines: Sequence[str]) -> tuple[str, ...]:
    """The keys that a tree must have, by whether it says that it has splits of categories."""
    if len(lines) < 2 or lines[1] == "num_cat=0":
        return _TREE
    before = _TREE.index("is_linear")
    return (*_TREE[:before], *_OF_CATEGORIES, *_TREE[before:])


def _check_categories(values: dict[str, str], decisions: list[int], n_categorical: int, where: str) -> None:
    """Each split of categories names a set of its own by its number, which stands where others have a threshold."""
    thresholds = values["threshold"].split(" ")
    sets = [
        threshold for threshold, decision in zip(thresholds, decisions, strict=True) if decision in _CATEGORY_DECISIONS
    ]
    if sorted(sets) != sorted(map(str, range(n_categorical))):
        raise _refused(
            f"{n_categorical} splits of categories in {where}, each with a set of its own", _shown(str(sets))
        )
    if not n_categorical:
        return
    name = f"cat_boundaries of {where}"
    boundaries = _integers(values["cat_boundaries"], name, n_categorical + 1, 0, MAX_CATEGORY_WORDS)
    if boundaries[0] != 0 or any(end <= begin for begin, end in itertools.pairwise(boundaries)):
        raise _refused(f"{name} that ascend from 0", _shown(values["cat_boundaries"]))
    _integers(values["cat_threshold"], f"cat_threshold of {where}", boundaries[-1], 0, 2**32 - 1)


def _check_single_leaf(values: dict[str, str], where: str) -> None:
    """A tree that splits nothing has no splits' values, and its leaf's weight and count may be left out."""
    for key in _TREE:
        value = values[key]
        if key in ("leaf_weight", "leaf_count"):
            if value:
                _numbers(value, f"{key} of {where}", 1)
        elif key not in ("num_leaves", "num_cat", "leaf_value", "is_linear", "shrinkage") and value:
            raise _refused(f"no {key} in {where}, which has one leaf", _shown(value))


def _longest_way(left: list[int], right: list[int], where: str) -> int:
    """The splits on the longest way from the root to a leaf.

    Raises unless every split but the root and every leaf is the child of one earlier split: one tree without a circle.
    """
    n_splits = len(left)
    depth = [0] * n_splits
    seen: set[int] = set()
    for split in range(n_splits):
        for child in (left[split], right[split]):
            if child in seen or 0 <= child <= split:
                raise _refused(
                    f"left_child and right_child of {where} that make one tree",
                    f"child {child} a second time" if child in seen else f"child {child} of split {split}",
                )
            seen.add(child)
            if child > 0:
                depth[child] = depth[split] + 1
    # 2 * n_splits different children of the n_splits - 1 other splits and n_splits + 1 leaves: these are all of them.
    longest = max(depth) + 1
    if longest > MAX_DEPTH:
        raise _refused(f"at most {MAX_DEPTH} splits on a way through {where}", f"{longest}")
    return longest


def _check_end(text: str, begin: int, names: Sequence[str]) -> None:
    """What follows the trees: how often each input is used, and the parameters of the training."""
    parameters = text.find(_PARAMETERS, begin)
    if not text.startswith(_AFTER_TREES, begin) or parameters < 0:
        raise _refused("feature_importances and parameters after the trees", _shown(text[begin:]))
    if not text.endswith(_END):
        raise _refused("end of parameters and pandas_categorical:null at the end", _shown(text[-60:]))
    importances = text[begin + len(_AFTER_TREES) : parameters].split("\n")[:-1]
    uncounted = set(names)
    for line in importances:
        name, _, count = line.rpartition("=")
        if name not in uncounted:
            raise _refused("feature_importances of the feature_names, each once", _shown(line))
        _integer(count, "feature_importances", 0, _LARGEST_INT)
        uncounted.remove(name)
    found: set[str] = set()
    for line in text[parameters + len(_PARAMETERS) : -len(_END)].split("\n"):
        _check_parameter(line, found)


def _check_parameter(line: str, found: set[str]) -> None:
    match = _PARAMETER.fullmatch(line)
    if match is None or match[1] in found:
        raise _refused("parameters as LightGBM writes them, each once", _shown(line))
    key = match[1]
    found.add(key)
    if match["words"] is not None and key != "metric" and match["words"] not in _WORDS.get(key, ()):
        raise _refused(f"the parameter {key} as recmem trains", _shown(match["words"]))
    if match["numbers"] and any(abs(float(number)) > _LARGEST_INT for number in match["numbers"].split(",")):
        raise _refused(f"the parameter {key} within 32 bits", _shown(match["numbers"]))


def _values(lines: Sequence[str], keys: Sequence[str], where: str) -> dict[str, str]:
    """The lines `key=value` by key: these keys in this order."""
    pairs = [line.partition("=") for line in lines]
    found = [key for key, equals, _ in pairs if equals]
    if len(lines) != len(keys) or found != list(keys):
        wrong = next((line for line, key in zip(lines, keys, strict=False) if not line.startswith(f"{key}=")), "")
        raise _refused(f"the lines {', '.join(keys)} in {where}", _shown(wrong) if wrong else f"{len(lines)} lines")
    return {key: value for key, _, value in pairs}


def _integer(value: str, where: str, low: int, high: int) -> int:
    return _integers(value, where, 1, low, high)[0]


def _integers(value: str, where: str, n: int | None, low: int, high: int) -> list[int]:
    """The integers of a line: `n` of them, or one and more for None."""
    if not _INTEGERS.fullmatch(value):
        raise _refused(f"integers in {where}", _shown(value))
    numbers = [int(token) for token in value.split(" ")]
    if n is not None and len(numbers) != n:
        raise _refused(f"{n} in {where}", f"{len(numbers)}")
    if min(numbers) < low or max(numbers) > high:
        raise _refused(f"{low} to {high} in {where}", f"{min(numbers)} to {max(numbers)}")
    return numbers


def _numbers(value: str, where: str, n: int, *, form: re.Pattern[str] = _NUMBERS) -> None:
    """Raises unless a line has `n` numbers of this form that fit into float64."""
    if not form.fullmatch(value):
        raise _refused(f"finite numbers in {where}", _shown(value))
    if value.count(" ") != n - 1:
        raise _refused(f"{n} numbers in {where}", f"{value.count(' ') + 1}")
    # 1e400 has the form of a number, and is none.
    if "e" in value and any("e" in token and isinf(float(token)) for token in value.split(" ")):
        raise _refused(f"finite numbers in {where}", _shown(value))


def _is_plain(name: str) -> bool:
    return bool(name) and all(ord(character) > ord(" ") and character != "\x7f" for character in name)


def _refused(expected: str, got: str, remedy: str = "Train again.") -> ValueError:
    return ValueError(f"{_FILE}: expected {expected}, got {got}. {remedy}")


def _shown(value: str) -> str:
    """The beginning of a value that may have any length and content."""
    return ascii(excerpt(value, _SHOWN_CHARS))
