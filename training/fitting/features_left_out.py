"""Features that the rankers go without (setting `ranker.leave_out`): which may be named, and what is left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from feature_store import DataError
from recmem.ranking.feature_names import feature_prefixes
from recmem.ranking.feature_table import FEATURES, TEXT_FEATURES


def leave_out_fault(names: Sequence[str]) -> str:
    """What is wrong with names that cannot all be those of features, each once; else ""."""
    # Some text features are no entries of the table, since not every dataset has them.
    known = list(dict.fromkeys([*(feature.name for feature in FEATURES), *TEXT_FEATURES]))
    for name in names:
        # Features of columns depend on the tables, which are not known here.
        if name not in known and not name.startswith(feature_prefixes()):
            nearest = get_close_matches(name, known, n=1)
            remedy = f"Did you mean {nearest[0]!r}?" if nearest else "docs/features.md lists them."
            return f"leave_out: expected names of features, got {name!r}. {remedy}"
    if len(set(names)) < len(names):
        return f"leave_out: expected each feature once, got {', '.join(names)}. Remove the repeated one."
    return ""


def features_left(features: Iterable[str], leave_out: Sequence[str]) -> tuple[str, ...]:
    """The features without those that are left out, in their order. Raises DataError if none is left."""
    left = tuple(name for name in features if name not in leave_out)
    if not left:
        raise DataError(
            f"ranker.leave_out: expected at least one feature to be left for each ranker, got {', '.join(leave_out)}. "
            "Name fewer of them."
        )
    return left
