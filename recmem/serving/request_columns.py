"""Which of an item's text columns a candidate may bring along, for items that the store lacks."""

from __future__ import annotations

from collections.abc import Sequence

from recmem.dataset.candidate_checks import CANDIDATE_COLUMNS
from recmem.serving.row_reasons import MOST_REASONS, reason_names
from recmem.serving.scoring import RANK_OUTPUTS

UNKNOWN_USER = "unknown_user"
UNKNOWN_ITEM = "unknown_item"
"""Columns of an answer: whether the store lacks the row's user (and the row a history), or its item."""
MISSING_FEATURES = "missing_features"
"""Another, of models that read columns of the candidates (`--features`): whether one counts as missing in the row."""
REASON_NAMES = frozenset(reason_names(MOST_REASONS, ranks=True))
"""Columns of a result with reasons, however many."""


def text_inputs(text_columns: Sequence[str]) -> tuple[str, ...]:
    """The text columns that candidates may have: those that are not named as something else of theirs.

    A column `timestamp` of items is part of an item's text like any other. In a frame of candidates that name is the
    query's time, and `score` is a column of the result: there these names keep their meaning.
    """
    return tuple(name for name in text_columns if not is_taken(name))


def is_taken(column: str) -> bool:
    """Whether the name has a meaning of its own in a frame of candidates, or is that of a column of the result."""
    return column in CANDIDATE_COLUMNS or column in (*RANK_OUTPUTS, UNKNOWN_USER, UNKNOWN_ITEM, MISSING_FEATURES)


def may_be_feature(column: str) -> bool:
    """Whether a column of candidates may be a feature: its name is none that a result may have, with reasons or not."""
    return not is_taken(column) and column not in REASON_NAMES
