"""The mean of several LightGBM models as one model: their trees one after the other, each leaf divided by their number.

A prediction is the sum of one leaf per tree, so the sum over all trees of leaves divided by k is the mean of the k
predictions; SHAP values, which are linear in the leaves, are means too. LightGBM has no way to do this, so the text is
written here; `recmem.ranking.tree_checks` and LightGBM itself read it as any other.

LightGBM leaves out a tree whose sample of rows and inputs has no split, so models of equally many rounds can have
different numbers of trees. Here the shorter ones get trees of a single leaf of 0: `trees_of_member` then finds each
model again by its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

_OUTPUTS = {"leaf_value": ".17g", "internal_value": "g"}
"""Lines of a tree that are outputs: of its leaves, and of its inner nodes as if they were leaves. The digits are
LightGBM's: no float64 loses any with 17; predictions never read the inner nodes'."""
_TREE_SIZES = "tree_sizes"
_RANGES = "feature_infos"
_NO_RANGE = "none"
_IMPORTANCES = "feature_importances:"
_PARAMETERS = "\nparameters:\n"
_ZERO_TREE = [
    "num_leaves=1",
    "num_cat=0",
    "split_feature=",
    "split_gain=",
    "threshold=",
    "decision_type=",
    "left_child=",
    "right_child=",
    "leaf_value=0",
    "leaf_weight=",
    "leaf_count=",
    "internal_value=",
    "internal_weight=",
    "internal_count=",
    "is_linear=0",
    "shrinkage=1",
]
"""The lines of a tree that adds 0 to every prediction, as LightGBM writes them."""


@dataclass(frozen=True)
class _ModelText:
    """The parts of a model's text."""

    header: dict[str, str]
    """By key; the first line, `tree`, has no value."""
    trees: list[list[str]]
    """The lines of each tree after its number, without the empty ones at its end."""
    importances: dict[str, int]
    """How often each input is used."""
    after: str
    """What follows: the parameters that the model was fitted with."""

    @classmethod
    def parse(cls, text: str) -> _ModelText:
        head, _, rest = text.partition("\n\n")
        header = dict(_key_and_value(line) for line in head.split("\n"))
        trees = []
        for size in map(int, header[_TREE_SIZES].split()):
            trees.append(rest[:size].rstrip("\n").split("\n")[1:])
            rest = rest[size:]
        _, _, end = rest.partition(f"{_IMPORTANCES}\n")
        importances, _, parameters = end.partition(_PARAMETERS)
        counts = dict(_key_and_value(line) for line in importances.split("\n") if line)
        return cls(header, trees, {name: int(count) for name, count in counts.items()}, parameters)

    def to_text(self) -> str:
        trees = ["\n".join([f"Tree={number}", *lines]) + "\n\n\n" for number, lines in enumerate(self.trees)]
        header = self.header | {_TREE_SIZES: " ".join(str(len(tree)) for tree in trees)}
        head = "\n".join(f"{key}={value}" if value else key for key, value in header.items())
        # As LightGBM orders them: the most used first.
        used = sorted(self.importances.items(), key=lambda entry: -entry[1])
        counts = "".join(f"{name}={count}\n" for name, count in used)
        return f"{head}\n\n{''.join(trees)}end of trees\n\n{_IMPORTANCES}\n{counts}{_PARAMETERS}{self.after}"


def mean_trees(texts: Sequence[str]) -> str:
    """The text of the model whose predictions are the means of the given models' (float64 rounding apart).

    The models are LightGBM's `model_to_string` of boosters that were fitted on the same inputs with the same objective;
    their parameters, of which predictions use none, are the first one's. All get as many trees as the longest has. One
    text is returned as it is. Raises ValueError without a text, or if inputs or objective differ.
    """
    if not texts:
        raise ValueError("texts: expected at least one model, got none. Give the models to average.")
    if len(texts) == 1:
        return texts[0]
    models = [_ModelText.parse(text) for text in texts]
    first = models[0]
    shared = _shared(first)
    if any(_shared(model) != shared for model in models):
        raise ValueError(
            "texts: expected models of the same inputs and objective, got others. Average one fit's models."
        )
    n_trees = max(len(model.trees) for model in models)
    trees = [lines for model in models for lines in _filled_up(model.trees, n_trees)]
    ranges = [model.header[_RANGES].split(" ") for model in models]
    merged = _ModelText(
        header=first.header | {_RANGES: " ".join(_merged_range(parts) for parts in zip(*ranges, strict=True))},
        trees=[_scaled(lines, 1 / len(models)) for lines in trees],
        importances=_total([model.importances for model in models]),
        after=first.after,
    )
    return merged.to_text()


def trees_of_member(text: str, member: int, n_members: int) -> str:
    """The text of one of the `n_members` models that `mean_trees` averaged, counted from 0.

    Its predictions are the model's (float64 rounding apart); the header and the uses of the inputs stay those of the
    mean. Raises ValueError if the number of trees is not a multiple of `n_members`.
    """
    model = _ModelText.parse(text)
    n_trees, rest = divmod(len(model.trees), n_members)
    if rest:
        raise ValueError(f"text: expected a multiple of {n_members} trees, got {len(model.trees)}. Give a mean.")
    trees = model.trees[member * n_trees : (member + 1) * n_trees]
    return replace(model, trees=[_scaled(lines, n_members) for lines in trees]).to_text()


def _shared(model: _ModelText) -> dict[str, str]:
    """What models must have in common. Ranges are those of a sample of the rows, which the seed draws."""
    return {key: value for key, value in model.header.items() if key not in (_TREE_SIZES, _RANGES)}


def _filled_up(trees: Sequence[list[str]], n_trees: int) -> list[list[str]]:
    """The trees, followed by trees of 0 up to this number."""
    return [*trees, *[_ZERO_TREE] * (n_trees - len(trees))]


def _scaled(lines: Sequence[str], factor: float) -> list[str]:
    """The lines of a tree whose outputs are multiplied by a factor."""
    return [_scaled_line(line, factor) for line in lines]


def _scaled_line(line: str, factor: float) -> str:
    key, value = _key_and_value(line)
    if key not in _OUTPUTS or not value:
        return line
    digits = _OUTPUTS[key]
    return f"{key}={' '.join(format(float(number) * factor, digits) for number in value.split(' '))}"


def _merged_range(parts: Sequence[str]) -> str:
    """The range `[low:high]` that covers all; `none`, of an input that is constant, covers nothing.

    Of an input of categories, `3:0:-1`, all of them.
    """
    categories = [part.split(":") for part in parts if part != _NO_RANGE and not part.startswith("[")]
    if categories:
        return ":".join(dict.fromkeys(category for part in categories for category in part))
    ranges = [part.strip("[]").split(":") for part in parts if part != _NO_RANGE]
    if not ranges:
        return _NO_RANGE
    # As they are written, not as Python would write them.
    low = min((low for low, _ in ranges), key=float)
    high = max((high for _, high in ranges), key=float)
    return f"[{low}:{high}]"


def _total(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in counts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total


def _key_and_value(line: str) -> tuple[str, str]:
    key, _, value = line.partition("=")
    return key, value
