"""Which text columns of items candidates may bring along."""

from __future__ import annotations

import pytest

from recmem.dataset.candidate_checks import CANDIDATE_COLUMNS
from recmem.serving.request_columns import is_taken, text_inputs
from recmem.serving.scoring import RANK_OUTPUTS


def test_text_columns_named_as_something_else_of_a_request_are_left_out() -> None:
    columns = ("title", "timestamp", "rank", "Timestamp", "label", "history", "brand")
    assert text_inputs(columns) == ("title", "Timestamp", "label", "brand")


@pytest.mark.parametrize("name", [*CANDIDATE_COLUMNS, *RANK_OUTPUTS])
def test_every_column_of_candidates_and_results_is_taken(name: str) -> None:
    assert is_taken(name)
    assert text_inputs([name]) == ()
