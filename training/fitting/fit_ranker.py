"""Fits the ranker on retrieved candidates: a linear blend, then LightGBM's trees on what the blend leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import lightgbm as lgb
import numpy as np

from feature_store import DataError
from feature_store.arrays import BoolArray, Float32Array, Float64Array, Int8Array, IntArray
from feature_store.settings import check_settings, setting
from recmem.pipelining import bound_cores, side_by_side
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Blend, Ranker
from recmem.ranking.ranker_inputs import (
    category_positions,
    input_matrix,
    input_names,
    neutral_names,
    ranker_inputs,
    z_score_names,
)
from recmem.ranking.tree_checks import MAX_LEAVES, MAX_TREES
from recmem.ranking.trees import Trees
from training.fitting.features_left_out import leave_out_fault
from training.fitting.fit_blend import PositionBias, fit_blend, fit_debiased_blend
from training.fitting.long_queries import LONGEST_QUERY, pairs_to_fit
from training.fitting.mean_trees import mean_trees
from training.fitting.position_bias import position_groups
from training.fitting.position_effects import PositionEffect, position_effects
from training.fitting.tree_pairs import N_THREADS, TreePairs
from training.fitting.tree_samples import sampling_parameters
from training.member_seeds import member_seed
from training.queries import UNKNOWN_POSITION

T = TypeVar("T")

FEWEST_QUERIES = 2
"""One to choose the number of rounds by, one to fit on."""
METRIC = "ndcg"
METRIC_AT = 10


@dataclass(frozen=True)
class RankerConfig:
    """How the ranker is fitted."""

    rounds: int = setting(150, low=1, high=MAX_TREES, aliases=("num_iterations", "n_estimators", "num_boost_round"))
    """Boosting rounds at most; fewer if the validation queries are ranked best with fewer."""
    smoothing: int = setting(21, low=1, high=9999, odd=True)
    """Rounds over which the validation figure is averaged before the best number of rounds is chosen; odd."""
    learning_rate: float = setting(0.1, above=0, high=1)
    """How much each tree adds (LightGBM's `learning_rate`); with a lower one, allow more rounds."""
    leaves: int = setting(15, low=2, high=MAX_LEAVES, aliases=("num_leaves",))
    """Leaves of a tree at most (LightGBM's `num_leaves`)."""
    min_rows_in_leaf: int = setting(300, low=1, high=1_000_000_000, aliases=("min_data_in_leaf", "min_child_samples"))
    """Fewest pairs of a query and a candidate in a leaf (LightGBM's `min_data_in_leaf`)."""
    l2: float = setting(10.0, low=0, high=1e9, aliases=("lambda_l2", "reg_lambda"))
    """L2 regularisation of the leaves' values (LightGBM's `lambda_l2`)."""
    feature_share: float = setting(0.6, above=0, high=1, aliases=("feature_fraction", "colsample_bytree"))
    """Share of the features that a tree may use (LightGBM's `feature_fraction`)."""
    row_share: float = setting(0.7, above=0, high=1, aliases=("bagging_fraction", "subsample"))
    """Share of the queries that a tree is fitted on (LightGBM's `bagging_fraction`). With 100 inputs of the trees or
    more, or with position debiasing, a share of the pairs."""
    blend_l2: float = setting(1e-3, low=0, high=1e9)
    """Regularisation of the linear blend."""
    validation_share: float = setting(0.25, above=0, below=1)
    """Share of the queries, the latest, that decide on the number of rounds; the final fit uses all queries."""
    position_debiasing: bool = setting(False)
    """Whether what the positions of shown items add to their clicks is learned beside the ranker, and left out of its
    scores. The impressions must have positions."""
    position_bias_regularization: float = setting(
        0.0, low=0, high=1e9, aliases=("lambdarank_position_bias_regularization",)
    )
    """L2 regularisation of what the positions add (LightGBM's `lambdarank_position_bias_regularization`)."""

    leave_out: tuple[str, ...] = setting((), low=1, words="a list of names of features")
    """Features that the rankers go without, by their names in docs/features.md. They are computed all the same, and
    retrieval reads them."""

    def __post_init__(self) -> None:
        check_settings(self, self._conflicts)

    def _conflicts(self) -> Iterator[str]:
        if fault := leave_out_fault(self.leave_out):
            yield fault


@dataclass(frozen=True, eq=False)
class RankingData:
    """Pairs with features and labels; the queries are in order of time."""

    pairs: PairFeatures
    labels: Int8Array
    """1 for a positive; one entry per pair."""
    weights: Float32Array | None = None
    """How much each pair counts in a fit, 0 or more; None where all count the same."""
    positions: IntArray | None = None
    """Where each pair's item was shown, `UNKNOWN_POSITION` if that is not known; None if it is of none."""

    @classmethod
    def concat(cls, parts: Sequence[RankingData]) -> RankingData:
        """The queries of all parts, one part after the other."""
        pairs = PairFeatures.concat([part.pairs for part in parts])
        weights = None
        if any(part.weights is not None for part in parts):
            weights = np.concatenate([_or_ones(part.weights, len(part.labels)) for part in parts])
        positions = None
        if any(part.positions is not None for part in parts):
            positions = np.concatenate([_or_unknown(part.positions, len(part.labels)) for part in parts])
        return cls(pairs, np.concatenate([part.labels for part in parts]), weights, positions)

    def with_positives(self) -> RankingData:
        """The queries that have at least one positive, which weighs something, among their candidates."""
        counts = self.labels if self.weights is None else self.labels * (self.weights > 0)
        n_positives = np.bincount(self.pairs.candidates.row_index, counts, len(self.pairs.candidates))
        return self.take(np.flatnonzero(n_positives > 0))

    def take(self, rows: IntArray) -> RankingData:
        """The given queries, in the given order."""
        index = self.pairs.candidates.index_of(rows)
        weights = None if self.weights is None else self.weights[index]
        positions = None if self.positions is None else self.positions[index]
        return RankingData(self.pairs.take(rows), self.labels[index], weights, positions)

    def relative_weights(self) -> Float32Array | None:
        """The weights over the mean of those above 0; None if all are equal.

        So the regularisation of blend and trees means the same whatever the scale of the weights.
        """
        if self.weights is None or not len(self.weights) or np.ptp(self.weights) == 0:
            return None
        relative: Float32Array = self.weights / self.weights[self.weights > 0].mean(dtype=np.float64)
        return relative.astype(np.float32)


@dataclass(frozen=True)
class FittedRanker:
    """A ranker, and its validation curve."""

    ranker: Ranker
    curve: list[float]
    """NDCG@10 of the validation queries after each boosting round."""
    n_cut: int = 0
    """Queries of which the trees were fitted on a part, see `training.fitting.long_queries`."""
    positions: tuple[PositionEffect, ...] = ()
    """What was learned of the positions; empty without debiasing."""


def fit_ranker(
    data: RankingData, features: tuple[str, ...], config: RankerConfig, seed: int, *, members: int = 1
) -> FittedRanker:
    """Fits blend and trees on the named features; the latest queries decide how many trees there are.

    The trees are the mean of `members` models that differ in their seeds. The validation curve is the first one's:
    those of the others choose about as well, and each costs most of a fit.

    Queries of more pairs than LightGBM takes are cut for the trees, see `training.fitting.long_queries`; the blend is
    fitted on all pairs. Raises DataError if fewer than two queries have a positive among their candidates.
    """
    usable = data.with_positives()
    n_queries = len(usable.pairs.candidates)
    if n_queries < FEWEST_QUERIES:
        raise DataError(
            f"events: expected at least {FEWEST_QUERIES} queries with a retrieved positive between the match module's "
            f"period and the test, got {n_queries}. Give more events, or more candidates per query."
        )
    fit = _Fit.of(usable, features, input_names(features), config)
    n_early = max(int(n_queries * (1 - config.validation_share)), 1)
    # The blend that the rounds are chosen on top of must not have seen the validation queries either.
    early, late = fit.tree_pairs(fit.blend(n_early)[1], seed).split(n_early)
    names = neutral_names(fit.inputs)
    seeds = [member_seed(seed, member) for member in range(members)]
    curve = _validation_curve(early, late, names, config, seeds[0])
    # The final fit: blend and trees on all queries.
    ranker, positions = fit.ranker(best_round(curve, config.smoothing), seeds, seed)
    n_cut = int((usable.pairs.candidates.lengths > LONGEST_QUERY).sum())
    return FittedRanker(ranker, curve, n_cut, positions)


def refit_ranker(
    fitted: Ranker, data: RankingData, config: RankerConfig, seed: int, *, n_rounds: int, members: int = 1
) -> Ranker:
    """Blend and trees of the same features as the fitted ranker's, on other pairs: so many rounds, on all queries."""
    fit = _Fit.of(data.with_positives(), fitted.features, fitted.inputs, config)
    return fit.ranker(n_rounds, [member_seed(seed, member) for member in range(members)], seed)[0]


@dataclass(frozen=True, eq=False)
class _Fit:
    """Queries with a positive each, and what is read of them to fit blend and trees."""

    data: RankingData
    features: tuple[str, ...]
    inputs: tuple[str, ...]
    config: RankerConfig
    values: dict[str, Float32Array]
    """Features and z-scores by name."""
    matrix: Float32Array
    """[pair, input of the trees]"""
    weights: Float32Array | None
    groups: IntArray | None
    """The group of each pair's position; None without debiasing."""

    @classmethod
    def of(cls, data: RankingData, features: tuple[str, ...], inputs: tuple[str, ...], config: RankerConfig) -> _Fit:
        groups = None
        if config.position_debiasing and data.positions is not None:
            groups = position_groups(data.positions, _is_clicked(data))
        values = ranker_inputs(data.pairs, features)
        matrix = input_matrix(values, inputs)
        return cls(data, features, inputs, config, values, matrix, data.relative_weights(), groups)

    def blend(self, n_queries: int | None = None) -> tuple[Blend, Float32Array, Float32Array]:
        """The blend, fitted on the first `n_queries` queries (all by default); the trees' start; the position biases.

        The trees start from the blend's scores, float32[pair] of all queries, plus the bias of each pair's position:
        otherwise the first trees would explain positions by the features that go with them. The biases are
        float32[group], empty without debiasing.
        """
        lengths = self.data.pairs.candidates.lengths[:n_queries]
        n_pairs = int(lengths.sum())
        names = z_score_names(self.features)
        compared = {name: self.values[name][:n_pairs] for name in names}
        labels = self.data.labels[:n_pairs]
        weights = None if self.weights is None else self.weights[:n_pairs]
        if self.groups is None:
            blend = fit_blend(compared, labels, lengths, self.config.blend_l2, weights)
            return blend, blend.scores(self.values), np.empty(0, np.float32)
        n_groups = int(self.groups.max()) + 1
        bias = PositionBias(self.groups[:n_pairs], n_groups, self.config.position_bias_regularization)
        blend, biases = fit_debiased_blend(compared, labels, lengths, self.config.blend_l2, bias, weights)
        return blend, blend.scores(self.values) + biases[self.groups], biases

    def tree_pairs(self, start: Float32Array, seed: int) -> TreePairs:
        """The pairs that the trees are fitted on, cut where queries are too long."""
        lengths = self.data.pairs.candidates.lengths
        categorical = category_positions(self.inputs)
        pairs = TreePairs(self.matrix, self.data.labels, lengths, start, categorical, self.weights, self.groups)
        kept = pairs_to_fit(self.data.labels, lengths, seed)
        # LightGBM would go on comparing others with a pair that weighs nothing.
        return pairs.take(kept if self.weights is None else kept & (self.weights > 0))

    def ranker(self, n_rounds: int, seeds: list[int], seed: int) -> tuple[Ranker, tuple[PositionEffect, ...]]:
        """Blend and trees fitted on all queries, and the effects of positions; the trees are a mean over the seeds."""
        blend, start, biases = self.blend()
        pairs = self.tree_pairs(start, seed)
        names = neutral_names(self.inputs)
        boosters = _in_threads(
            lambda member: lgb.train(
                _parameters(self.config, member, pairs), pairs.dataset(names), num_boost_round=n_rounds
            ),
            seeds,
        )
        return Ranker(Trees.of(_mean(boosters)), blend, self.features, self.inputs), self._position_effects(biases)

    def _position_effects(self, biases: Float32Array) -> tuple[PositionEffect, ...]:
        """What each group of positions adds, counted over the rows that weigh something."""
        if self.groups is None or self.data.positions is None:
            return ()
        counts = np.ones(len(self.groups), bool) if self.data.weights is None else self.data.weights > 0
        is_clicked = _is_clicked(self.data)
        return position_effects(self.data.positions[counts], self.groups[counts], is_clicked[counts], biases)


def _is_clicked(data: RankingData) -> BoolArray:
    """bool[pair]: the positives that weigh something."""
    is_clicked: BoolArray = data.labels > 0 if data.weights is None else (data.labels > 0) & (data.weights > 0)
    return is_clicked


def _in_threads(fit: Callable[[int], T], seeds: list[int]) -> list[T]:
    """`fit` of every seed: each grows its trees in one thread, which leaves the other cores to the other seeds."""
    if len(seeds) == 1:
        return [fit(seeds[0])]
    return list(side_by_side(fit, seeds, min(len(seeds), bound_cores())))


def _mean(boosters: list[lgb.Booster]) -> lgb.Booster:
    if len(boosters) == 1:
        return boosters[0]
    return lgb.Booster(model_str=mean_trees([booster.model_to_string() for booster in boosters]))


def _validation_curve(
    early: TreePairs, late: TreePairs, names: list[str], config: RankerConfig, seed: int
) -> list[float]:
    """NDCG@10 of the late queries after each round of trees that are fitted on the early ones."""
    fitted_on = early.dataset(names)
    curves: dict[str, dict[str, list[float]]] = {}
    lgb.train(
        _parameters(config, seed, early),
        fitted_on,
        num_boost_round=config.rounds,
        valid_sets=[late.dataset(names, reference=fitted_on)],
        valid_names=["late"],
        callbacks=[lgb.record_evaluation(curves)],
    )
    return curves["late"][f"{METRIC}@{METRIC_AT}"]


def best_round(curve: list[float], width: int) -> int:
    """The round, from 1, around which a curve is highest on average over `width` rounds (odd); the first of equals.

    With a few hundred queries, NDCG jumps by more from round to round than the trees change: the single highest point
    is chance.
    """
    padded = np.pad(np.asarray(curve, np.float64), width // 2, mode="edge")
    means: Float64Array = np.convolve(padded, np.full(width, 1 / width), mode="valid")
    return int(means.argmax()) + 1


def lightgbm_parameters(config: RankerConfig, pairs: TreePairs | None = None) -> dict[str, object]:
    """What LightGBM is given, by its own names; of the rounds, the most that there may be. Seeds are not among them.

    Without `pairs`, what most are fitted with, see `training.fitting.tree_samples`.
    """
    given = {"num_iterations": config.rounds} | _parameters(config, 0, pairs)
    return {name: value for name, value in given.items() if name not in ("seed", "verbose")}


def _or_ones(weights: Float32Array | None, n_pairs: int) -> Float32Array:
    return np.ones(n_pairs, np.float32) if weights is None else weights


def _or_unknown(positions: IntArray | None, n_pairs: int) -> IntArray:
    return np.full(n_pairs, UNKNOWN_POSITION) if positions is None else positions


def _parameters(config: RankerConfig, seed: int, pairs: TreePairs | None) -> dict[str, object]:
    # Named only where it is used: a model's text lists it, and would differ from that of earlier versions.
    of_positions = {"lambdarank_position_bias_regularization": config.position_bias_regularization}
    return {
        "objective": "lambdarank",
        "metric": METRIC,
        "eval_at": [METRIC_AT],
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.min_rows_in_leaf,
        "lambda_l2": config.l2,
        "feature_fraction": config.feature_share,
        **sampling_parameters(config.row_share, pairs),
        "seed": seed,
        "deterministic": True,
        "num_threads": N_THREADS,
        # Each feature's histogram is added up by one thread, in the order of the rows, however many threads there are.
        "force_col_wise": True,
        "verbose": -1,
        **(of_positions if config.position_debiasing else {}),
    }
