"""The ranker: a linear blend of columns relative to their query, and LightGBM trees on what the blend leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import lightgbm as lgb
import numpy as np

from feature_store import DataError
from feature_store.arrays import BoolArray, Float32Array, Float64Array
from feature_store.ragged import Ragged
from recmem.config_json import from_json
from recmem.ranking.features import PairFeatures
from recmem.ranking.normalise import ranks, z_scores

RAW = (
    "similarity_max",
    "similarity_top3",
    "item_age",
    "trend",
    "user_events",
    "user_gap",
    "memory_size",
    "click_through",
)
"""Columns that mean the same in every query and at every time; the ranker sees them as they are, too."""
PER_QUERY = ("user_events", "user_gap", "memory_size")
"""Columns with one value per query: nothing to compare within it."""
LEAST_KEPT = 20
"""Candidates of a query that the trees see in a cascade, at the least."""
RELATIVE = "_z"
"""Ending of a column that was made relative to its query."""


@dataclass(frozen=True)
class Blend:
    """A weighted sum of the columns relative to their query."""

    weights: dict[str, float]
    """Weight by column; a missing value counts as the query's mean."""

    def scores(self, columns: dict[str, Float32Array]) -> Float32Array:
        """The blend of each pair: float32[pair]."""
        nothing = np.zeros(len(next(iter(columns.values()), ())), np.float32)
        parts = [np.float32(weight) * np.nan_to_num(columns[name], nan=0.0) for name, weight in self.weights.items()]
        total: Float32Array = np.sum([nothing, *parts], axis=0, dtype=np.float32)
        return total


@dataclass(frozen=True, eq=False)
class Ranker:
    """Scores pairs from named columns; refuses any others than it was fitted on."""

    booster: lgb.Booster
    blend: Blend
    columns: tuple[str, ...]
    """Raw columns that it needs, by name."""
    features: tuple[str, ...] = field(repr=False)
    """What the trees read, in their order: raw columns and relative ones."""

    def scores(self, pairs: PairFeatures, *, trees_share: float = 1.0) -> Float64Array:
        """Ranking score of each pair: higher is better; comparable within a query.

        With a `trees_share` below 1, a cascade: the trees see only this share of each query's candidates, the best by
        the blend (`LEAST_KEPT` at the least, and those that tie with the last of them). The others come after these, in
        the order of the blend.
        """
        features = ranking_features(pairs, self.columns)
        blend = self.blend.scores(features).astype(np.float64)
        if trees_share >= 1:
            return blend + self._trees(features)
        owner, lengths = pairs.candidates.row_index, pairs.candidates.lengths
        kept, scores = _kept(blend, pairs.candidates, trees_share), blend.copy()
        scores[kept] += self._trees({name: features[name][kept] for name in self.features})
        lowest = np.full((2, len(lengths)), np.inf)
        for least, numbers in zip(lowest, (scores, blend), strict=True):
            np.minimum.at(least, owner[kept], numbers[kept])
        others = owner[~kept]
        scores[~kept] = lowest[0][others] - lowest[1][others] + blend[~kept]
        return scores

    def n_seen(self, pairs: PairFeatures, trees_share: float) -> int:
        """How many pairs the trees see in such a cascade."""
        blend = self.blend.scores(ranking_features(pairs, self.columns)).astype(np.float64)
        return int(_kept(blend, pairs.candidates, trees_share).sum())

    def _trees(self, features: dict[str, Float32Array]) -> Float64Array:
        matrix = feature_matrix(features, self.features)
        return np.asarray(self.booster.predict(matrix, raw_score=True) if len(matrix) else np.empty(0), np.float64)

    def contributions(self, pairs: PairFeatures) -> tuple[float, dict[str, Float64Array]]:
        """What each column adds to each pair's score: a constant, and an array per column that sum to the score.

        The trees' parts are LightGBM's own (SHAP values, Lundberg et al. 2020); a relative form counts with its column.
        """
        features = ranking_features(pairs, self.columns)
        shap = np.asarray(self.booster.predict(feature_matrix(features, self.features), pred_contrib=True))
        total = {name: np.zeros(len(shap)) for name in self.columns}
        for number, feature in enumerate(self.features):
            total[feature.removesuffix(RELATIVE)] += shap[:, number]
        for feature, weight in self.blend.weights.items():
            total[feature.removesuffix(RELATIVE)] += weight * np.nan_to_num(features[feature], nan=0.0)
        return float(shap[0, -1]) if len(shap) else 0.0, total

    def importance(self) -> dict[str, float]:
        """Each column's share of the trees' gain and of the blend's absolute weights: the mean of both shares."""
        gain = dict(zip(self.features, self.booster.feature_importance("gain"), strict=True))
        blend = {name: abs(weight) for name, weight in self.blend.weights.items()}
        shares = dict.fromkeys(self.columns, 0.0)
        for parts in (gain, blend):
            total = sum(parts.values()) or 1.0
            for feature, part in parts.items():
                shares[feature.removesuffix(RELATIVE)] += float(part) / total / 2
        return shares

    def to_files(self) -> dict[str, str]:
        """The ranker as texts: LightGBM's own format, and JSON for the rest."""
        layout = {"columns": self.columns, "features": self.features, "blend": self.blend.weights}
        return {"ranker.txt": self.booster.model_to_string(), "ranker.json": json.dumps(layout, indent=1)}

    @classmethod
    def from_files(cls, files: dict[str, str]) -> Ranker:
        """The ranker that `to_files` wrote; ValueError where the texts do not fit each other."""
        layout = from_json(_Layout, json.loads(files["ranker.json"]), "ranker")
        booster = lgb.Booster(model_str=files["ranker.txt"])
        known = {name + RELATIVE for name in layout.columns} | set(layout.columns)
        if not known >= {*layout.features, *layout.blend} or booster.num_feature() != max(len(layout.features), 1):
            raise ValueError("ranker: expected features of its own columns, as many as the trees have, got others")
        return cls(booster, Blend(layout.blend), layout.columns, layout.features)


def _kept(blend: Float64Array, candidates: Ragged, share: float) -> BoolArray:
    """Is the pair among the best `share` of its query, or the best `LEAST_KEPT`?"""
    n_kept = np.maximum(np.ceil(candidates.lengths * share), LEAST_KEPT)
    kept: BoolArray = ranks(blend, candidates.row_index) <= n_kept[candidates.row_index]
    return kept


@dataclass(frozen=True)
class _Layout:
    """`ranker.json`."""

    columns: tuple[str, ...]
    features: tuple[str, ...]
    blend: dict[str, float]


def feature_names(columns: tuple[str, ...]) -> tuple[str, ...]:
    """What the trees read of these raw columns, in order."""
    relative = tuple(name + RELATIVE for name in columns if name not in PER_QUERY)
    return relative + tuple(name for name in columns if name in RAW)


def ranking_features(pairs: PairFeatures, columns: tuple[str, ...]) -> dict[str, Float32Array]:
    """Raw columns and their forms relative to the query: float32[pair] each.

    Raises DataError when the pairs lack a column or carry another type than float32.
    """
    wrong = [name for name in columns if name not in pairs.values or pairs.values[name].dtype != np.float32]
    if wrong:
        raise DataError(
            f"columns: expected {', '.join(columns)} as float32, got none or another type for {', '.join(wrong)}. "
            "Build the columns with the same version of recmem that the ranker was fitted with."
        )
    features = {name: pairs.values[name] for name in columns}
    names = [name for name in columns if name not in PER_QUERY]
    if names:
        relative = z_scores(np.stack([features[name] for name in names]), pairs.candidates.offsets)
        features |= {name + RELATIVE: column for name, column in zip(names, relative, strict=True)}
    return features


def feature_matrix(features: dict[str, Float32Array], names: tuple[str, ...]) -> Float32Array:
    """float32[pair, feature] in the given order."""
    if not names:
        return np.empty((0, 0), np.float32)
    return np.stack([features[name] for name in names], axis=1)
