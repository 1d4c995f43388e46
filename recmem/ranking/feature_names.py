"""What the name of a feature tells: whose column it is made of, and how the ranker reads it."""

from __future__ import annotations

from collections.abc import Iterable

from recmem.ranking import feature_table
from recmem.ranking.feature_computation import CANDIDATE_PREFIX, CATEGORY_PREFIX, USER_CATEGORY_PREFIX, USER_PREFIX

RELATIVE_SUFFIX = "_z"
"""Ends the name of a feature's z-score within the query."""
ATTRIBUTE_PREFIX = "items."
"""Begins the name of an item attribute, and of no other feature: a column of any name can replace none of the table."""

PREFIXES = {
    ATTRIBUTE_PREFIX: "the items table",
    CANDIDATE_PREFIX: "candidates",
    CATEGORY_PREFIX: "candidates",
    USER_PREFIX: "the users table",
    USER_CATEGORY_PREFIX: "the users table",
}
"""Prefix of a feature's name -> the table whose column the feature is."""
_RAW_PREFIXES = (CANDIDATE_PREFIX, CATEGORY_PREFIX, USER_PREFIX, USER_CATEGORY_PREFIX)


def feature_prefixes() -> tuple[str, ...]:
    """The prefixes of features that are columns of the user's own tables."""
    return tuple(PREFIXES)


def is_in_table(name: str) -> bool:
    """Whether the table has a feature of this name."""
    return any(feature.name == name for feature in feature_table.FEATURES)


def compared_features(names: Iterable[str]) -> list[str]:
    """Those of the features that have a z-score: numbers that differ between the candidates of a query."""
    per_query = {feature.name for feature in feature_table.FEATURES if feature.per_query}
    return [
        name for name in names if name not in per_query and not is_category(name) and not name.startswith(USER_PREFIX)
    ]


def raw_features(names: Iterable[str]) -> list[str]:
    """Those of the features whose values the trees use as they are, too."""
    raw = {feature.name for feature in (*feature_table.FEATURES, *feature_table.OPTIONAL) if feature.raw}
    return [name for name in names if name in raw or name.startswith(_RAW_PREFIXES)]


def is_category(name: str) -> bool:
    """Whether a feature's values are numbers of categories, which the trees do not compare as numbers."""
    return name.startswith((CATEGORY_PREFIX, USER_CATEGORY_PREFIX))
