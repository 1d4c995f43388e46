"""Figures of scored rows, as a reference keeps them and as later rows are compared with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from feature_store.arrays import BoolArray, Float32Array, Float64Array, IntArray
from recmem.matching.matcher import MATCH_FEATURES
from recmem.ranking.feature_computation import feature_name, user_feature_name
from recmem.ranking.feature_names import is_category
from recmem.ranking.pair_features import PairFeatures
from recmem.reference.distribution import Distribution
from recmem.reference.reference import REFERENCE_VERSION, Asked, Categories, Outcomes, Reference, Share
from recmem.serving.bundle import Bundle
from recmem.serving.scoring import MATCH_SCORE
from training.monitoring.event_rows import EVENT, EventRows

SCORE = "score"
TEXT_LENGTH = "text_length"
"""Characters of the item's text, as the encoder gets it before it cuts it."""
MEMORY_SIZE = "memory_size"
UNKNOWN_USERS = "unknown_users"
UNKNOWN_ITEMS = "unknown_items"
EMPTY_MEMORIES = "empty_memories"
EMPTY_TEXTS = "empty_texts"


@dataclass(frozen=True, eq=False)
class RowFigures:
    """Rows that were scored: one entry per row in every array."""

    users: IntArray
    """A number for each row's user."""
    queries: IntArray
    """A number for each row's query."""
    figures: dict[str, Float32Array]
    """By name, NaN where a row has no value."""
    shares: dict[str, BoolArray]
    """By name: whether the row counts."""
    categories: dict[str, tuple[IntArray, tuple[str, ...]]]
    """By name: the place of each row's text among the names, negative if it has none."""

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n_queries(self) -> int:
        """Distinct queries."""
        return len(np.unique(self.queries))

    def reference(
        self,
        asked: Asked,
        times: tuple[str, str],
        *,
        events: EventRows | None = None,
        outcomes: Outcomes | None = None,
    ) -> Reference:
        """The reference of these rows, of which there is at least one.

        `times` are those of the first and the last query, ISO 8601.
        """
        shares = {name: Share.of(has, self.users) for name, has in self.shares.items()}
        categories = {name: Categories.of(*column, self.users) for name, column in self.categories.items()}
        if events is not None and len(events):
            shares |= {name: Share.of(has, events.users) for name, has in events.shares.items()}
            categories[EVENT] = Categories.of(*events.kinds, events.users)
        return Reference(
            version=REFERENCE_VERSION,
            asked=asked,
            queries=self.n_queries,
            users=len(np.unique(self.users)),
            rows=len(self),
            since=times[0],
            until=times[1],
            figures={name: Distribution.of(values, self.users) for name, values in self.figures.items()},
            shares=shares,
            categories=categories,
            outcomes=outcomes,
        )


def watched_features(bundle: Bundle) -> tuple[str, ...]:
    """The features that are watched: those that the ranker reads, the match features and the size of the memory."""
    return tuple(dict.fromkeys((*bundle.ranker.features, *MATCH_FEATURES, MEMORY_SIZE)))


def pair_figures(
    bundle: Bundle, pairs: PairFeatures, scores: Float64Array, text_lengths: IntArray | None
) -> dict[str, Float32Array]:
    """The figures of pairs by name, float32[pair].

    `text_lengths`: characters of each pair's text; None for a model of vectors of items, which reads no texts.
    """
    figures = {name: pairs.values[name] for name in watched_features(bundle) if not is_category(name)}
    figures[MATCH_SCORE] = bundle.config.calibration.probability(pairs.values["match_raw"])
    figures[SCORE] = scores.astype(np.float32)
    if text_lengths is not None:
        figures[TEXT_LENGTH] = text_lengths.astype(np.float32)
    return figures


def pair_categories(bundle: Bundle, pairs: PairFeatures) -> dict[str, tuple[IntArray, tuple[str, ...]]]:
    """The columns of text among the ranker's features: places of the pairs' texts, and the vocabulary."""
    categories = {}
    dataset = bundle.config.dataset
    # By the whole name: candidates and users may have columns of the same name.
    vocabularies = {feature_name(feature): feature.categories for feature in dataset.candidate_features}
    vocabularies |= {user_feature_name(feature): feature.categories for feature in dataset.user_features}
    for name in filter(is_category, bundle.ranker.features):
        places = np.nan_to_num(pairs.values[name], nan=-1).astype(np.int64)
        vocabulary = vocabularies.get(name)
        if vocabulary is not None:
            categories[name] = (places, vocabulary)
    return categories


def pair_text_lengths(bundle: Bundle, texts: Iterable[str], items: IntArray) -> IntArray | None:
    """Characters of each pair's text, by its place in `texts`: int64[pair]; None if the model reads no texts."""
    return None if bundle.config.vectors is not None else text_lengths(texts)[items]


def text_lengths(texts: Iterable[str]) -> IntArray:
    """Characters of each text: int64[text]."""
    return np.array([len(text) for text in texts], np.int64)
