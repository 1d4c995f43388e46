"""Malformed LightGBM texts: what no training writes, one fault each, with everything around the fault put right."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

END = "end of trees\n"
BAD_NUMBERS = [
    "nan",
    "-nan",
    "1e400",
    "-1e999",
    "0x10",
    "1_000",
    "٣",
    "",
    "true",
    "--1",
    "1e",
    "-",
    "1,5",
    "1.",
    "\x00",
]
BAD_INTEGERS = [*BAD_NUMBERS, "inf", "1.5", "+1", "2147483648", "-2147483649", "4294967296", "9" * 30, "9" * 5000]
HUGE = "2147483647"


class Model:
    """A LightGBM text in pieces."""

    def __init__(self, text: str) -> None:
        head, _, rest = text.partition("\n\n")
        trees, _, self.tail = rest.partition(END)
        self.head = head.split("\n")
        self.trees = [tree.split("\n") for tree in re.split(r"(?<=\n\n\n)", trees) if tree]

    def text(self, *, with_sizes: bool = True) -> str:
        """The pieces together; the sizes of the trees are counted again unless they are what is wrong."""
        trees = ["\n".join(tree) for tree in self.trees]
        if with_sizes:
            self.set("tree_sizes", " ".join(str(len(tree.encode("utf-8", "replace"))) for tree in trees))
        return "\n".join(self.head) + "\n\n" + "".join(trees) + END + self.tail

    def get(self, key: str) -> str:
        return next(line for line in self.head if line.startswith(f"{key}=")).partition("=")[2]

    def set(self, key: str, value: str) -> None:
        self.head = [f"{key}={value}" if line.startswith(f"{key}=") else line for line in self.head]


def malformed(text: str, rng: Random) -> tuple[str, str]:
    """A text with one fault, and what it is."""
    change = rng.choice(CHANGES)
    model = Model(text)
    said = change(model, rng)
    return (said if isinstance(said, str) else model.text(with_sizes=said)), change.__name__.strip("_")


def _line(tree: list[str], key: str) -> int:
    return next(number for number, line in enumerate(tree) if line.startswith(f"{key}="))


def _split_tree(model: Model, rng: Random) -> list[str]:
    """A tree with at least three leaves."""
    return rng.choice([tree for tree in model.trees if int(tree[1].partition("=")[2]) > 2])


def _tokens(tree: list[str], key: str) -> list[str]:
    return tree[_line(tree, key)].partition("=")[2].split(" ")


def _put(tree: list[str], key: str, tokens: list[str]) -> None:
    tree[_line(tree, key)] = f"{key}={' '.join(tokens)}"


def _exchange(tree: list[str], key: str, token: str, rng: Random) -> None:
    tokens = _tokens(tree, key)
    tokens[rng.randrange(len(tokens))] = token
    _put(tree, key, tokens)


# What is wrong. Each returns True where sizes are to be put right, False where not, or the whole text.


def _number_that_is_none(model: Model, rng: Random) -> bool:
    keys = ["split_gain", "leaf_value", "leaf_weight", "internal_value", "internal_weight", "shrinkage", "threshold"]
    _exchange(_split_tree(model, rng), rng.choice(keys), rng.choice(BAD_NUMBERS), rng)
    return True


def _integer_that_is_none(model: Model, rng: Random) -> bool:
    keys = ["split_feature", "decision_type", "left_child", "right_child", "leaf_count", "internal_count", "num_leaves"]
    _exchange(_split_tree(model, rng), rng.choice(keys), rng.choice(BAD_INTEGERS), rng)
    return True


def _feature_out_of_range(model: Model, rng: Random) -> bool:
    n_inputs = int(model.get("max_feature_idx")) + 1
    _exchange(_split_tree(model, rng), "split_feature", rng.choice(["-1", str(n_inputs), "99999", HUGE]), rng)
    return True


def _decision_of_another_kind(model: Model, rng: Random) -> bool:
    _exchange(
        _split_tree(model, rng), "decision_type", rng.choice(["1", "3", "9", "12", "15", "127", "-1", "255"]), rng
    )
    return True


def _child_out_of_range(model: Model, rng: Random) -> bool:
    tree = _split_tree(model, rng)
    n_leaves = int(_tokens(tree, "num_leaves")[0])
    token = rng.choice([str(n_leaves - 1), str(-n_leaves - 1), "1000000", HUGE, "-2147483648"])
    _exchange(tree, rng.choice(["left_child", "right_child"]), token, rng)
    return True


def _circle(model: Model, rng: Random) -> bool:
    tree = _split_tree(model, rng)
    key = rng.choice(["left_child", "right_child"])
    children = _tokens(tree, key)
    split = rng.randrange(len(children))
    children[split] = str(rng.randrange(split + 1))
    _put(tree, key, children)
    return True


def _child_twice(model: Model, rng: Random) -> bool:
    tree = _split_tree(model, rng)
    left = _tokens(tree, "left_child")
    right = _tokens(tree, "right_child")
    split = rng.randrange(len(left))
    left[split] = right[rng.randrange(len(right))]
    if left == _tokens(tree, "left_child"):
        left[split] = "0"
    _put(tree, "left_child", left)
    return True


def _array_of_another_length(model: Model, rng: Random) -> bool:
    tree = _split_tree(model, rng)
    keys = ["split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child", "leaf_value",
            "leaf_weight", "leaf_count", "internal_value", "internal_weight", "internal_count"]  # fmt: skip
    key = rng.choice(keys)
    tokens = _tokens(tree, key)
    _put(tree, key, rng.choice([tokens[:-1], [*tokens, tokens[0]], tokens * 50, [], tokens[:1]]))
    return True


def _number_of_leaves(model: Model, rng: Random) -> bool:
    tree = _split_tree(model, rng)
    n_leaves = int(_tokens(tree, "num_leaves")[0])
    _put(tree, "num_leaves", [rng.choice(["-1", "0", "1", "2", str(n_leaves - 1), str(n_leaves + 1), "9999999", HUGE])])
    return True


def _counts_that_do_not_add_up(model: Model, rng: Random) -> bool:
    tree = _split_tree(model, rng)
    _exchange(tree, rng.choice(["leaf_count", "internal_count"]), rng.choice(["0", "-5", HUGE]), rng)
    return True


def _categories(model: Model, rng: Random) -> bool:
    tree = _split_tree(model, rng)
    _put(tree, "num_cat", [rng.choice(["1", "-1", "1000", HUGE])])
    if rng.random() < 0.7:
        place = _line(tree, rng.choice(["leaf_value", "is_linear"]))
        tree[place:place] = [f"cat_boundaries=0 {rng.choice(['0', '99', '-1', HUGE])}", "cat_threshold=1"]
        _exchange(tree, "decision_type", "1", rng)
    return True


def _linear_leaves(model: Model, rng: Random) -> bool:
    tree = _split_tree(model, rng)
    n_leaves = int(_tokens(tree, "num_leaves")[0])
    tree[_line(tree, "is_linear")] = "is_linear=1"
    if rng.random() < 0.7:
        place = _line(tree, "shrinkage")
        tree[place:place] = [
            "leaf_const=" + " ".join(["0"] * n_leaves),
            "num_features=" + " ".join([rng.choice(["1", "-1", "99"])] * n_leaves),
            "leaf_features=99999 ",
            "leaf_coeff=1 ",
        ]
    return True


def _line_of_a_tree(model: Model, rng: Random) -> bool:
    """A line removed, doubled, added or moved."""
    tree = _split_tree(model, rng)
    place = rng.randrange(1, len(tree) - 3)
    what = rng.randrange(4)
    if what == 0:
        del tree[place]
    elif what == 1:
        tree.insert(place, tree[place])
    elif what == 2:
        tree.insert(place, rng.choice(["leaf_const=0", "x=1", "no sign", "=", "Tree=7", "num_leaves=2"]))
    else:
        tree.append(tree.pop(place))
    return True


def _tree_twice_or_gone(model: Model, rng: Random) -> bool:
    # Without its only tree a model is one that training writes: that one is doubled.
    is_only = len(model.trees) == 1
    place = 0 if is_only else rng.randrange(len(model.trees) - 1)
    if rng.random() < 0.5 and not is_only:
        del model.trees[place]
    else:
        model.trees.insert(place, model.trees[place])
    return True


def _sizes(model: Model, rng: Random) -> bool:
    sizes = model.get("tree_sizes").split(" ")
    place = rng.randrange(len(sizes))
    what = rng.randrange(5)
    if what == 0:
        sizes[place] = rng.choice(["0", "-1", "1", HUGE, "99999999999999999999", "x", "", str(int(sizes[place]) + 1)])
    elif what == 1:
        sizes = sizes[:-1]
    elif what == 2:
        sizes = [*sizes, sizes[0]]
    elif what == 3:
        sizes = [str(int(size) + 1) for size in sizes]
    else:
        sizes = []
    model.set("tree_sizes", " ".join(sizes))
    return False


def _header_value(model: Model, rng: Random) -> bool:
    key = rng.choice(["version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx"])
    known = model.get(key)
    values = ["-1", "2", "3", "1000000", HUGE, "99999999999", "", "x", "1.5", "nan"]
    model.set(key, rng.choice([value for value in values if value != known]))
    return True


def _objective(model: Model, rng: Random) -> bool:
    model.set(
        "objective", rng.choice(["multiclass num_class:3", "custom", "", "binary sigmoid:nan", "quantile", "l" * 9000])
    )
    return True


def _names_of_inputs(model: Model, rng: Random) -> bool:
    key = rng.choice(["feature_names", "feature_infos"])
    tokens = model.get(key).split(" ")
    wrong = [tokens[:-1], [*tokens, "more"], [], [tokens[0] + "\x00", *tokens[1:]], ["", *tokens[1:]]]
    if key == "feature_names":
        wrong.append([tokens[1], *tokens[1:]])
    else:
        wrong += [["[nan:1]", *tokens[1:]], ["1::3", *tokens[1:]], ["1:2:[", *tokens[1:]], ["[0:1", *tokens[1:]]]
    model.set(key, " ".join(rng.choice(wrong)))
    return True


def _line_of_the_header(model: Model, rng: Random) -> bool:
    place = rng.randrange(len(model.head))
    what = rng.randrange(3)
    if what == 0:
        del model.head[place]
    elif what == 1:
        model.head.insert(place, model.head[place])
    else:
        model.head.insert(
            place, rng.choice(["average_output", "monotone_constraints=1", "tree_sizes=1", "x=1", "\x00"])
        )
    return rng.random() < 0.5


def _parameter(model: Model, rng: Random) -> bool:
    lines = ["[input_model: /etc/passwd]", "[data: /etc/passwd]", "[machines: 10.0.0.1:99]", "[device_type: gpu]",
             "[output_model: x]", "[num_gpu: 99999999999999]", "[objective: custom]", "[x: nan]", "no brackets",
             "[num_leaves: 7", "[boosting: dart]", "[forcedsplits_filename: /dev/zero]", "[seed: 1e400]"]  # fmt: skip
    model.tail = model.tail.replace("\nparameters:\n", f"\nparameters:\n{rng.choice(lines)}\n")
    return True


def _tail(model: Model, rng: Random) -> bool:
    tails = [
        model.tail.replace("pandas_categorical:null", "pandas_categorical:" + "[" * 100_000),
        model.tail.replace("pandas_categorical:null", 'pandas_categorical:[["a"]]'),
        model.tail.replace("end of parameters", ""),
        model.tail.replace("feature_importances:\n", "feature_importances:\nnobody=3\n"),
        model.tail.replace("feature_importances:\n", "feature_importances:\nx\n"),
        model.tail + "Tree=0\nnum_leaves=1\n",
        model.tail * 2,
        "",
    ]
    model.tail = rng.choice(tails)
    return True


def _deep_tree(model: Model, rng: Random) -> bool:
    """One long chain of splits: LightGBM's contributions recurse as deep."""
    n_leaves = rng.choice([1000, 4000, 60_000])
    n_splits = n_leaves - 1
    left = [*range(1, n_splits), -1]
    right = [-leaf - 1 for leaf in range(1, n_leaves)]
    lines = {
        "num_leaves": [n_leaves],
        "num_cat": [0],
        "split_feature": [0] * n_splits,
        "split_gain": [1] * n_splits,
        "threshold": [0] * n_splits,
        "decision_type": [2] * n_splits,
        "left_child": left,
        "right_child": right,
        "leaf_value": [0] * n_leaves,
        "leaf_weight": [1] * n_leaves,
        "leaf_count": [1] * n_leaves,
        "internal_value": [0] * n_splits,
        "internal_weight": [1] * n_splits,
        "internal_count": [n_leaves - split for split in range(n_splits)],
        "is_linear": [0],
        "shrinkage": [1],
    }
    number = len(model.trees)
    tree = [f"Tree={number}", *(f"{key}={' '.join(map(str, values))}" for key, values in lines.items()), "", "", ""]
    model.trees.append(tree)
    return True


def _cut_short(model: Model, rng: Random) -> str:
    text = model.text()
    return text[: rng.choice([0, 1, 4, 5, rng.randrange(len(text)), rng.randrange(len(text)), len(text) - 2])]


def _other_line_ends(model: Model, rng: Random) -> str:
    text = model.text()
    return rng.choice([text.replace("\n", "\r\n"), text.replace("\n", "\r"), text.replace(" ", "\t"), "\ufeff" + text])


def _bytes(model: Model, rng: Random) -> str:
    """A character that no model has, somewhere."""
    text = model.text()
    place = rng.randrange(text.index("\n\n"), text.index(END))
    return (
        text[:place]
        + rng.choice(["\x00", "\x1b", "é", "\x7f", "\n\n\n\n", "  ", "Tree=", "=", "\u2028"])
        + text[place:]
    )


CHANGES: list[Callable[[Model, Random], bool | str]] = [
    _number_that_is_none, _integer_that_is_none, _feature_out_of_range, _decision_of_another_kind, _child_out_of_range,
    _circle, _child_twice, _array_of_another_length, _number_of_leaves, _counts_that_do_not_add_up, _categories,
    _linear_leaves, _line_of_a_tree, _tree_twice_or_gone, _sizes, _header_value, _objective, _names_of_inputs,
    _line_of_the_header, _parameter, _tail, _deep_tree, _cut_short, _other_line_ends, _bytes,
]  # fmt: skip
