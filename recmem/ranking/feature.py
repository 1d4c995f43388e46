"""One feature of the ranker: its name, its group, what it means, and how its column is computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from feature_store.arrays import Float32Array
from feature_store.point_in_time.counters import CounterConfig
from recmem.ranking.feature_computation import FeatureColumns, FeatureContext


class Group(StrEnum):
    """What a feature is about."""

    MATCH = "match"
    SIMILARITY = "text similarity"
    COVISITATION = "co-visitation"
    TEXT_COVISITATION = "co-visitation and texts"
    KNOWLEDGE = "knowledge"
    POPULARITY = "popularity"
    IMPRESSIONS = "impressions"
    REPEATS = "repeats"
    USER = "user"
    ATTRIBUTE = "item attribute"
    CANDIDATE = "candidates' own"
    USER_ATTRIBUTE = "user attribute"


@dataclass(frozen=True)
class Feature:
    """One feature of a pair."""

    name: str
    group: Group
    meaning: str
    """Its glossary entry: what it means, with unit and range."""
    compute: Callable[[FeatureContext], Float32Array | FeatureColumns]
    """Gives the column: float32[pair], or float32[query] if `per_query`. A function that several features share gives
    all of them by name, and runs once."""
    per_query: bool = False
    """Is it the same for all candidates of a query? Then there is nothing to compare, and no z-score."""
    raw: bool = False
    """Do the trees also use the value itself? For features that mean the same in every query and at every time; of the
    others, the trees use only the z-score within the query."""
    new_item: float | Callable[[CounterConfig], float] | None = None
    """Its value for an item without any event; None if it does not depend on the item's events. Some pairs of the
    training data get these values, see `training.fitting.new_items`."""

    def __post_init__(self) -> None:
        if self.per_query and not self.raw:
            raise ValueError(
                f"{self.name}: expected raw=True with per_query=True, got raw=False. "
                "The ranker uses a feature of the query only by its value."
            )


def column_of(feature: Feature, context: FeatureContext) -> Float32Array:
    """The feature of each pair: float32[pair]."""
    values = values_of(feature, context)
    return values[context.query_of_pair] if feature.per_query else values


def values_of(feature: Feature, context: FeatureContext) -> Float32Array:
    """The feature as it is computed: float32[pair], or float32[query] if `per_query`."""
    result = context.once(feature.compute)
    if isinstance(result, Mapping) and feature.name not in result:
        raise ValueError(
            f"{feature.name}: expected a column of this name from its compute function, got {', '.join(result)}. "
            "Name it as the feature."
        )
    column = result[feature.name] if isinstance(result, Mapping) else result
    n_values = len(context.queries) if feature.per_query else len(context.candidates.values)
    if not isinstance(column, np.ndarray) or column.dtype != np.float32 or column.shape != (n_values,):
        kind = f"{column.dtype}{list(column.shape)}" if isinstance(column, np.ndarray) else type(column).__name__
        unit = "query" if feature.per_query else "pair"
        expected = f"float32[{n_values}], one value per {unit}"
        raise ValueError(f"{feature.name}: expected {expected}, got {kind}. Correct its compute function.")
    return column
