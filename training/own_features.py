"""Columns of impressions and candidates that a user makes features of the ranker: which may be, and what they are."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from feature_store import IMPRESSIONS, DataError
from recmem.dataset.candidate_features import CandidateFeature
from recmem.ranking.feature_names import RELATIVE_SUFFIX
from recmem.serving.request_columns import may_be_feature


def feature_names_fault(names: Sequence[str]) -> str:
    """What is wrong with names that cannot all be those of columns of one's own, each once; else ""."""
    for name in names:
        if not may_be_feature(name) or name in IMPRESSIONS.schema():
            return (
                f"features: expected columns of your own, got {name!r}, which recmem reads or writes itself. Rename it."
            )
        if name.endswith(RELATIVE_SUFFIX):
            return (
                f"features: expected names that do not end in {RELATIVE_SUFFIX}, which marks z-scores, got {name!r}. "
                "Rename the column."
            )
    if len(set(names)) < len(names):
        return f"features: expected each column once, got {', '.join(names)}. Remove the repeated one."
    return ""


def own_features(impressions: pl.DataFrame, names: Sequence[str]) -> tuple[CandidateFeature, ...]:
    """The features that these columns of the store's impressions make.

    Raises DataError if there are no impressions, or a column is missing, or holds neither numbers nor text.
    """
    if names and impressions.is_empty():
        raise DataError(
            f"features: expected impressions with the columns {', '.join(names)}, got no impressions. Without them the "
            "ranker learns from items that recmem retrieves itself, which have no columns of yours. Give "
            "--impressions, or make the columns numeric ones of the items table if they belong to the items."
        )
    return tuple(_feature(impressions, name) for name in names)


def _feature(impressions: pl.DataFrame, name: str) -> CandidateFeature:
    if name not in impressions.columns:
        raise DataError(
            f"impressions.{name}: expected a column with values, which is to be a feature, got none in the store. Give "
            "the impressions again, with this column: features of stored impressions are filled in."
        )
    column = impressions[name]
    if not (column.dtype.is_numeric() or column.dtype == pl.String):
        raise DataError(
            f"impressions.{name}: expected numbers or text for a feature, got {column.dtype}. Convert it, for example "
            "to a number of days."
        )
    return CandidateFeature.of(column)
