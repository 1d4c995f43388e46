"""Which text columns of items candidates may bring along."""

from __future__ import annotations

import pytest

from recmem.dataset.candidate_checks import CANDIDATE_COLUMNS
from recmem.serving.request_columns import is_taken, may_be_feature, text_inputs
from recmem.serving.scoring import RANK_OUTPUTS


def test_text_columns_named_as_something_else_of_a_request_are_left_out() -> None:
    columns = ("title", "timestamp", "rank", "Timestamp", "label", "history", "brand")
    assert text_inputs(columns) == ("title", "Timestamp", "label", "brand")


@pytest.mark.parametrize("name", [*CANDIDATE_COLUMNS, *RANK_OUTPUTS])
def test_every_column_of_candidates_and_results_is_taken(name: str) -> None:
    assert is_taken(name)
    assert text_inputs([name]) == ()


@pytest.mark.parametrize(
    "name", ["reasons", "match_reason_1", "score_reason_20", "missing_features", "unknown_user", "score"]
)
def test_columns_of_results_are_no_features(name: str) -> None:
    assert not may_be_feature(name)


def test_what_no_result_has_may_be_a_feature() -> None:
    assert may_be_feature("match_reason_21")
    assert may_be_feature("reason")
