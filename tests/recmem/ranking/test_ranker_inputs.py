"""Inputs of the ranker: features as they are and as z-scores, in the order that the trees read."""

from __future__ import annotations

import numpy as np
import pytest

import slow_reference
from feature_store import DataError
from recmem.ranking.ranker_inputs import input_matrix, input_names, ranker_inputs
from small_ranker import FEATURES, INPUTS, pairs, ranker
from tolerances import close


def test_trees_read_z_scores_and_then_raw_features() -> None:
    assert input_names(FEATURES) == INPUTS


def test_inputs_are_the_features_and_their_z_scores_within_the_query() -> None:
    data = pairs()
    inputs = ranker_inputs(data, FEATURES)
    assert set(inputs) == {*FEATURES, "match_raw_z", "item_age_z", "items.price_z"}
    for name in FEATURES:
        close(inputs[name], data.values[name], "exact")
    for begin, end in zip(data.candidates.offsets, data.candidates.offsets[1:], strict=False):
        expected = slow_reference.z_scores(data.values["items.price"][begin:end].tolist())
        close(inputs["items.price_z"][begin:end], expected, "float32")


def test_matrix_holds_the_inputs_in_the_requested_order() -> None:
    inputs = ranker_inputs(pairs(), FEATURES)
    matrix = input_matrix(inputs, ("user_gap", "match_raw_z"))
    close(matrix, np.stack([inputs["user_gap"], inputs["match_raw_z"]], axis=1), "exact")


@pytest.mark.parametrize("wrong", ["absent", "float64"])
def test_features_that_are_missing_or_of_another_type_are_refused(wrong: str) -> None:
    data = pairs()
    if wrong == "absent":
        del data.values["item_age"]
    else:
        data.values["item_age"] = data.values["item_age"].astype(np.float64)
    with pytest.raises(DataError, match=r"as float32, got none or another type for item_age\. Compute the features"):
        ranker().scores(data)
