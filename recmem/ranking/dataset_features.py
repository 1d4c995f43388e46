"""The features of one dataset: those of the table, and those of the columns that its tables bring along."""

from __future__ import annotations

from collections.abc import Iterable

from feature_store import DataError
from recmem.dataset.candidate_features import CandidateFeature
from recmem.dataset.catalogue import Catalogue
from recmem.dataset.dataset import DatasetConfig
from recmem.ranking import feature_table
from recmem.ranking.feature import Feature, Group
from recmem.ranking.feature_computation import (
    compute_candidate_features,
    compute_item_attributes,
    compute_user_attributes,
    feature_name,
    user_feature_name,
)
from recmem.ranking.feature_names import ATTRIBUTE_PREFIX, PREFIXES, RELATIVE_SUFFIX


def item_attribute(name: str) -> Feature:
    """The feature of one numeric column of the items table."""
    meaning = (
        f"The item's `{name}`, as the items table gives it: as of the query's time if its rows have times. Missing if "
        "the table has none."
    )
    return Feature(
        name=ATTRIBUTE_PREFIX + name, group=Group.ATTRIBUTE, meaning=meaning, compute=compute_item_attributes
    )


def candidate_feature(feature: CandidateFeature) -> Feature:
    """The feature of one column of the candidates."""
    what = "category" if feature.categories is not None else "value"
    return Feature(
        name=feature_name(feature),
        group=Group.CANDIDATE,
        meaning=f"The {what} in the column `{feature.name}` that the candidates bring along. Missing where it is null"
        + (", and for a text that training did not have." if feature.categories is not None else "."),
        compute=compute_candidate_features,
        raw=True,
    )


def user_attribute(feature: CandidateFeature) -> Feature:
    """The feature of one column of the users table."""
    is_text = feature.categories is not None
    meaning = f"The user's `{feature.name}`, as the users table has it at the time of the query. Missing if it has none"
    return Feature(
        name=user_feature_name(feature),
        group=Group.USER_ATTRIBUTE,
        meaning=meaning + (", and for a text that training did not have." if is_text else "."),
        compute=compute_user_attributes,
        per_query=True,
        raw=True,
    )


def features_of(catalogue: Catalogue, config: DatasetConfig | None = None) -> tuple[Feature, ...]:
    """All features of a dataset with this catalogue and configuration, in order.

    Those of the table, then its item attributes, then the columns that its candidates bring along, then those of the
    users table, then what only some datasets have.
    """
    check_names(feature_table.FEATURES)
    attributes = tuple(item_attribute(name) for name in catalogue.number_columns)
    if config is None:
        return feature_table.FEATURES + attributes
    brought = tuple(candidate_feature(feature) for feature in config.candidate_features)
    users = tuple(user_attribute(feature) for feature in config.user_features)
    optional = tuple(feature for has, features in feature_table.OPTIONAL_OF if has(config) for feature in features)
    return feature_table.FEATURES + attributes + brought + users + optional


def check_names(features: Iterable[Feature]) -> None:
    """Raises DataError unless the table's features have names of their own.

    Two may not share a name, none may be named like an item attribute, and a raw one not like the z-score of another.
    """
    seen: set[str] = set()
    for feature in features:
        if feature.name in (*seen, *(each.name for each in feature_table.OPTIONAL)):
            raise DataError(f"features.{feature.name}: expected each name once, got it twice. Rename one of them.")
        prefix = next((prefix for prefix in PREFIXES if feature.name.startswith(prefix)), None)
        if prefix is not None:
            remedy = f"Rename it: so begin the columns of {PREFIXES[prefix]}."
            raise DataError(f"features.{feature.name}: expected a name without {prefix}, got one. {remedy}")
        if feature.raw and feature.name.endswith(RELATIVE_SUFFIX):
            remedy = f"Rename it: {RELATIVE_SUFFIX} marks the z-score of a feature."
            raise DataError(f"features.{feature.name}: expected a name without {RELATIVE_SUFFIX}, got one. {remedy}")
        seen.add(feature.name)
