"""The ranker: a linear blend of features relative to their query, and LightGBM trees that correct it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from feature_store.arrays import BoolArray, Float32Array, Float64Array, IntArray
from feature_store.ragged import Ragged
from recmem.ranking.normalise import ranks
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker_inputs import feature_of, input_matrix, ranker_inputs
from recmem.ranking.ranker_layout import RankerLayout
from recmem.ranking.tree_checks import check_trees
from recmem.ranking.trees import Trees

if TYPE_CHECKING:
    import lightgbm as lgb

MIN_TREE_CANDIDATES = 20
"""Candidates of each query that the trees score in a cascade, whatever the share."""


@dataclass(frozen=True)
class Blend:
    """A weighted sum of z-scores."""

    weights: dict[str, float]
    """Weight by input, such as `match_raw_z`; a missing value counts as the query's mean."""

    def scores(self, inputs: dict[str, Float32Array]) -> Float32Array:
        """The blend of each pair: float32[pair]."""
        n_pairs = len(next(iter(inputs.values()), ()))
        # The row of zeros makes an empty blend a score of 0.
        parts = [np.zeros(n_pairs, np.float32)]
        parts += [np.float32(weight) * np.nan_to_num(inputs[name], nan=0.0) for name, weight in self.weights.items()]
        total: Float32Array = np.sum(parts, axis=0, dtype=np.float32)
        return total


@dataclass(frozen=True, eq=False)
class Ranker:
    """Scores pairs from named features; refuses pairs that lack one."""

    trees: Trees
    blend: Blend
    features: tuple[str, ...]
    """Names of the features that it needs, see `recmem.ranking.feature_table`."""
    inputs: tuple[str, ...] = field(repr=False)
    """What the trees read, in their order: z-scores of features (`<name>_z`), then raw features. LightGBM knows them by
    neutral names, see `neutral_names`: it refuses many that a column may have."""

    @property
    def booster(self) -> lgb.Booster:
        """The trees as LightGBM has them; imports it."""
        return self.trees.booster

    def scores(self, pairs: PairFeatures, *, trees_share: float = 1.0) -> Float64Array:
        """Ranking score of each pair: higher is better; comparable within a query.

        A `trees_share` below 1 makes a cascade: the trees score only this share of each query's candidates, the best by
        the blend (at least `MIN_TREE_CANDIDATES`, and those that tie with the last of them). The others follow these in
        the order of the blend.
        """
        inputs = ranker_inputs(pairs, self.features)
        blend = self.blend.scores(inputs).astype(np.float64)
        if trees_share >= 1:
            return blend + self._tree_scores(inputs)
        kept = _best_by_blend(blend, pairs.candidates, trees_share)
        scores = blend.copy()
        scores[kept] += self._tree_scores({name: inputs[name][kept] for name in self.inputs})
        # The rest keep their blend, shifted so that the lowest blend that was kept falls on the lowest score there.
        query = pairs.candidates.row_index
        n_queries = len(pairs.candidates)
        lowest_score = _lowest_per_query(scores[kept], query[kept], n_queries)
        lowest_blend = _lowest_per_query(blend[kept], query[kept], n_queries)
        rest = query[~kept]
        scores[~kept] = lowest_score[rest] - lowest_blend[rest] + blend[~kept]
        return scores

    def n_scored_by_trees(self, pairs: PairFeatures, trees_share: float) -> int:
        """How many pairs the trees score in such a cascade."""
        blend = self.blend.scores(ranker_inputs(pairs, self.features)).astype(np.float64)
        return int(_best_by_blend(blend, pairs.candidates, trees_share).sum())

    def contributions(self, pairs: PairFeatures) -> tuple[float, dict[str, Float64Array]]:
        """What each feature adds to each pair's score: a constant, and an array per feature; together, the score.

        The trees' parts are LightGBM's own (SHAP values, Lundberg et al. 2020). A feature's z-score counts with it.
        """
        inputs = ranker_inputs(pairs, self.features)
        matrix = input_matrix(inputs, self.inputs)
        # float64[pair, input + 1]: the last column is what the trees expect of a pair that nothing is known of.
        shap = np.asarray(self.booster.predict(matrix, pred_contrib=True))
        total = {name: np.zeros(len(shap)) for name in self.features}
        for column, name in enumerate(self.inputs):
            total[feature_of(name, total)] += shap[:, column]
        for name, weight in self.blend.weights.items():
            total[feature_of(name, total)] += weight * np.nan_to_num(inputs[name], nan=0.0)
        constant = float(shap[0, -1]) if len(shap) else 0.0
        return constant, total

    def importance(self) -> dict[str, float]:
        """Each feature's share in the ranker, summing to 1.

        The mean of two shares: that of the trees' gain, and that of the blend's absolute weights.
        """
        gain = dict(zip(self.inputs, self.booster.feature_importance("gain"), strict=True))
        weights = {name: abs(weight) for name, weight in self.blend.weights.items()}
        shares = dict.fromkeys(self.features, 0.0)
        for parts in (gain, weights):
            total = sum(parts.values()) or 1.0
            for name, part in parts.items():
                shares[feature_of(name, shares)] += float(part) / total / 2
        return shares

    def to_files(self) -> dict[str, str]:
        """The ranker as texts by file name: LightGBM's own format for the trees, and JSON for the rest."""
        layout = RankerLayout(self.features, self.inputs, self.blend.weights)
        return {"ranker.txt": self.booster.model_to_string(), "ranker.json": layout.to_json()}

    @classmethod
    def from_files(cls, files: dict[str, str]) -> Ranker:
        """The ranker that `to_files` wrote, now or in an earlier version; ValueError if they do not fit together."""
        check_trees(files["ranker.txt"])
        return cls.from_checked_files(files)

    @classmethod
    def from_checked_files(cls, files: dict[str, str]) -> Ranker:
        """As `from_files`, for trees that `check_trees` has passed: LightGBM may crash on others."""
        layout = RankerLayout.from_json(files["ranker.json"])
        trees = Trees(files["ranker.txt"])
        # LightGBM has no model without inputs: a ranker whose trees read nothing has one that is never used.
        n_inputs = max(len(layout.inputs), 1)
        if trees.n_inputs != n_inputs:
            raise ValueError(f"ranker: expected trees that read {n_inputs} inputs, got {trees.n_inputs}. Train again.")
        return cls(trees, Blend(layout.blend), layout.features, layout.inputs)

    def _tree_scores(self, inputs: dict[str, Float32Array]) -> Float64Array:
        return self.trees.scores(input_matrix(inputs, self.inputs), n_threads=torch.get_num_threads())


def _best_by_blend(blend: Float64Array, candidates: Ragged, share: float) -> BoolArray:
    """bool[pair]: is it among the best `share` of its query, or the best `MIN_TREE_CANDIDATES`?"""
    query = candidates.row_index
    n_kept = np.maximum(np.ceil(candidates.lengths * share), MIN_TREE_CANDIDATES)
    kept: BoolArray = ranks(blend, query) <= n_kept[query]
    return kept


def _lowest_per_query(scores: Float64Array, query: IntArray, n_queries: int) -> Float64Array:
    """float64[query], infinite for queries without a score."""
    lowest = np.full(n_queries, np.inf)
    np.minimum.at(lowest, query, scores)
    return lowest
