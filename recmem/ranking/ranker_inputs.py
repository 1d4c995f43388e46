"""What the blend and the trees read: features as they are, and as z-scores within their query."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from feature_store import DataError
from feature_store.arrays import Float32Array
from recmem.ranking.feature_names import RELATIVE_SUFFIX, compared_features, is_category, raw_features
from recmem.ranking.normalise import z_scores
from recmem.ranking.pair_features import PairFeatures


def input_names(features: Sequence[str]) -> tuple[str, ...]:
    """The inputs that the trees read of these features, in order: z-scores, then raw features."""
    return z_score_names(features) + tuple(raw_features(features))


def z_score_names(features: Sequence[str]) -> tuple[str, ...]:
    """The inputs that are z-scores of these features, in order."""
    return tuple(name + RELATIVE_SUFFIX for name in compared_features(features))


def feature_of(input_name: str, features: Collection[str]) -> str:
    """The one of `features` that an input is made from."""
    compared = input_name.removesuffix(RELATIVE_SUFFIX)
    # A column of the items table may itself end in "_z".
    return compared if compared in features else input_name


def ranker_inputs(pairs: PairFeatures, features: Sequence[str]) -> dict[str, Float32Array]:
    """The features by name, and their z-scores within each query by `<name>_z`: float32[pair] each.

    Raises DataError if the pairs lack a feature or hold it as another type than float32.
    """
    check_present(features, [name for name, column in pairs.values.items() if column.dtype == np.float32])
    inputs = {name: pairs.values[name] for name in features}
    compared = compared_features(features)
    if compared:
        values = np.stack([inputs[name] for name in compared])
        scores = z_scores(values, pairs.candidates.offsets)
        inputs |= {name + RELATIVE_SUFFIX: column for name, column in zip(compared, scores, strict=True)}
    return inputs


def check_present(features: Sequence[str], found: Collection[str]) -> None:
    """Raises DataError unless all features of a ranker are among those that were found as float32."""
    wrong = [name for name in features if name not in found]
    if wrong:
        raise DataError(
            f"features: expected {', '.join(features)} as float32, got none or another type for {', '.join(wrong)}. "
            "Compute the features with the version of recmem that the ranker was fitted with."
        )


def category_positions(inputs: Sequence[str]) -> tuple[int, ...]:
    """Where the inputs stand whose values are categories to the trees."""
    return tuple(position for position, name in enumerate(inputs) if is_category(name))


def neutral_names(inputs: Sequence[str]) -> list[str]:
    """What LightGBM calls these inputs: f0, f1, ... It takes neither the characters of JSON nor some white space."""
    return [f"f{number}" for number in range(len(inputs))]


def input_matrix(inputs: dict[str, Float32Array], names: Sequence[str]) -> Float32Array:
    """float32[pair, input] in the given order."""
    if not names:
        return np.empty((0, 0), np.float32)
    return np.stack([inputs[name] for name in names], axis=1)
