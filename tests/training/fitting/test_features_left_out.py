"""Names of features that the rankers go without."""

from __future__ import annotations

import re

import pytest

from feature_store import DataError
from training.fitting.features_left_out import features_left
from training.fitting.fit_ranker import RankerConfig


def test_what_is_left_keeps_its_order() -> None:
    assert features_left(["match_raw", "popularity", "trend"], ["popularity", "ease"]) == ("match_raw", "trend")


def test_a_ranker_without_any_feature_is_refused() -> None:
    with pytest.raises(DataError, match=r"ranker\.leave_out: expected at least one feature to be left"):
        features_left(["popularity"], ["popularity"])


@pytest.mark.parametrize("names", [(), ("ease_text", "interests_similarity"), ("items.price", "users.age")])
def test_features_of_the_table_and_of_columns_may_be_named(names: tuple[str, ...]) -> None:
    assert RankerConfig(leave_out=names).leave_out == names


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("ease_txt",), "leave_out: expected names of features, got 'ease_txt'. Did you mean 'ease_text'?"),
        (("xyz",), "leave_out: expected names of features, got 'xyz'. docs/features.md lists them."),
        (("ease", "ease"), "leave_out: expected each feature once, got ease, ease. Remove the repeated one."),
    ],
)
def test_other_names_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        RankerConfig(leave_out=names)
