"""The glossary of features. `python -m recmem.ranking.feature_glossary > docs/features.md` writes the document anew."""

from __future__ import annotations

from collections.abc import Iterable

from recmem.dataset.candidate_features import CandidateFeature
from recmem.ranking import feature_table
from recmem.ranking.dataset_features import candidate_feature, item_attribute, user_attribute
from recmem.ranking.feature import Feature
from recmem.ranking.feature_computation import (
    CANDIDATE_PREFIX,
    CATEGORY_PREFIX,
    USER_CATEGORY_PREFIX,
    USER_PREFIX,
)
from recmem.ranking.feature_names import ATTRIBUTE_PREFIX, is_category

_HEAD = """\
# Features

What the ranker knows about a (query, candidate) pair, as of the query's time. Generated from
`recmem/ranking/feature_table.py` with `python -m recmem.ranking.feature_glossary > docs/features.md`. See
[adding_a_feature.md](adding_a_feature.md) for how to add one.

Most features are used as z-scores within the query: how many standard deviations the candidate is above the mean of the
query's candidates. Trees also use the value itself if "raw" says yes. A feature that is the same for all candidates of
a query has no z-score and is used raw only, and so are categories. The linear blend uses z-scores only.

The *memory* holds the user's latest 50 positive and neutral events before the query and may hold more, such as
declared interests ([memories.md](memories.md)). The *history* is the latest 200 events. Text similarities are of the
events in the memory alone, without negative ones, unless it contains no others.
"""


def meanings(names: Iterable[str]) -> dict[str, str]:
    """The meaning of each of these features of a ranker; those that the table lacks are columns."""
    in_table = {each.name: each.meaning for each in (*feature_table.FEATURES, *feature_table.OPTIONAL)}
    return {name: in_table.get(name) or _of_column(name).meaning for name in names}


def glossary_markdown() -> str:
    """The glossary as a Markdown document with one table.

    A row for each feature in order; `items.<name>` and the like stand for columns of any name.
    """
    lines = ["| feature | group | raw | meaning |", "|---|---|---|---|"]
    lines += [_row(feature) for feature in (*feature_table.FEATURES, *feature_table.OPTIONAL, *_OF_COLUMNS)]
    return "\n".join([_HEAD, *lines, ""])


def _of_column(name: str) -> Feature:
    if name.startswith(CANDIDATE_PREFIX):
        return candidate_feature(CandidateFeature(name.removeprefix(CANDIDATE_PREFIX)))
    if name.startswith(CATEGORY_PREFIX):
        return candidate_feature(CandidateFeature(name.removeprefix(CATEGORY_PREFIX), ()))
    if name.startswith(USER_PREFIX):
        return user_attribute(CandidateFeature(name.removeprefix(USER_PREFIX)))
    if name.startswith(USER_CATEGORY_PREFIX):
        return user_attribute(CandidateFeature(name.removeprefix(USER_CATEGORY_PREFIX), ()))
    return item_attribute(name.removeprefix(ATTRIBUTE_PREFIX))


_PREFIXES = (ATTRIBUTE_PREFIX, CANDIDATE_PREFIX, CATEGORY_PREFIX, USER_PREFIX, USER_CATEGORY_PREFIX)
_OF_COLUMNS = tuple(_of_column(f"{prefix}<name>") for prefix in _PREFIXES)


def _row(feature: Feature) -> str:
    raw = "only" if feature.per_query or is_category(feature.name) else "yes" if feature.raw else ""
    return f"| `{feature.name}` | {feature.group} | {raw} | {feature.meaning} |"


if __name__ == "__main__":
    print(glossary_markdown(), end="")
