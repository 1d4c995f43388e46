"""Fits the ranker on retrieved candidates: a linear blend, then LightGBM's trees on what the blend leaves."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import lightgbm as lgb
import numpy as np

from feature_store import DataError
from feature_store.arrays import BoolArray, Float32Array, Float64Array, Int8Array, IntArray
from feature_store.settings import check_settings, setting
from recmem.pipelining import side_by_side
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Ranker
from recmem.ranking.ranker_inputs import (
    category_positions,
    input_matrix,
    input_names,
    neutral_names,
    ranker_inputs,
    z_score_names,
)
from recmem.ranking.tree_checks import MAX_LEAVES, MAX_TREES
from training.fitting.fit_blend import fit_blend
from training.fitting.long_queries import LONGEST_QUERY, pairs_to_fit
from training.fitting.mean_trees import mean_trees
from training.member_seeds import member_seed

T = TypeVar("T")

FEWEST_QUERIES = 2
"""One to choose the number of rounds by, one to fit on."""
METRIC = "ndcg"
METRIC_AT = 10


@dataclass(frozen=True)
class RankerConfig:
    """How the ranker is fitted."""

    rounds: int = setting(100, low=1, high=MAX_TREES, aliases=("num_iterations", "n_estimators", "num_boost_round"))
    """Boosting rounds at most; fewer if the validation queries are ranked best with fewer."""
    smoothing: int = setting(21, low=1, high=9999, odd=True)
    """Rounds over which the validation figure is averaged before the best number of rounds is chosen; odd."""
    learning_rate: float = setting(0.05, above=0, high=1)
    """How much each tree adds (LightGBM's `learning_rate`); with a lower one, allow more rounds."""
    leaves: int = setting(7, low=2, high=MAX_LEAVES, aliases=("num_leaves",))
    """Leaves of a tree at most (LightGBM's `num_leaves`)."""
    min_rows_in_leaf: int = setting(300, low=1, high=1_000_000_000, aliases=("min_data_in_leaf", "min_child_samples"))
    """Fewest pairs of a query and a candidate in a leaf (LightGBM's `min_data_in_leaf`)."""
    l2: float = setting(10.0, low=0, high=1e9, aliases=("lambda_l2", "reg_lambda"))
    """L2 regularisation of the leaves' values (LightGBM's `lambda_l2`)."""
    feature_share: float = setting(0.6, above=0, high=1, aliases=("feature_fraction", "colsample_bytree"))
    """Share of the features that a tree may use (LightGBM's `feature_fraction`)."""
    row_share: float = setting(0.7, above=0, high=1, aliases=("bagging_fraction", "subsample"))
    """Share of the queries that a tree is fitted on (LightGBM's `bagging_fraction`)."""
    blend_l2: float = setting(1e-3, low=0, high=1e9)
    """Regularisation of the linear blend."""
    validation_share: float = setting(0.25, above=0, below=1)
    """Share of the queries, the latest, that decide on the number of rounds; the final fit uses all queries."""

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, eq=False)
class RankingData:
    """Pairs with features and labels; the queries are in order of time."""

    pairs: PairFeatures
    labels: Int8Array
    """1 for a positive; one entry per pair."""

    @classmethod
    def concat(cls, parts: Sequence[RankingData]) -> RankingData:
        """The queries of all parts, one part after the other."""
        pairs = PairFeatures.concat([part.pairs for part in parts])
        return cls(pairs, np.concatenate([part.labels for part in parts]))

    def with_positives(self) -> RankingData:
        """The queries that have at least one positive among their candidates."""
        n_positives = np.bincount(self.pairs.candidates.row_index, self.labels, len(self.pairs.candidates))
        return self.take(np.flatnonzero(n_positives > 0))

    def take(self, rows: IntArray) -> RankingData:
        """The given queries, in the given order."""
        return RankingData(self.pairs.take(rows), self.labels[self.pairs.candidates.index_of(rows)])


@dataclass(frozen=True)
class FittedRanker:
    """A ranker, and its validation curve."""

    ranker: Ranker
    curve: list[float]
    """NDCG@10 of the validation queries after each boosting round."""
    n_cut: int = 0
    """Queries of which the trees were fitted on a part, see `training.fitting.long_queries`."""


@dataclass(frozen=True, eq=False)
class TreePairs:
    """Pairs as the trees are fitted on them; the queries are in order of time."""

    matrix: Float32Array
    """[pair, input of the trees]"""
    labels: Int8Array
    lengths: IntArray
    """Pairs of each query."""
    start: Float32Array
    """The blend's score of each pair: the trees learn what to add to it."""
    categorical: tuple[int, ...] = ()
    """The inputs whose values are categories, see `category_positions`."""

    def split(self, n_queries: int) -> tuple[TreePairs, TreePairs]:
        """The first `n_queries` queries, and the others."""
        n_pairs = int(self.lengths[:n_queries].sum())
        matrix, labels, lengths, start = self.matrix, self.labels, self.lengths, self.start
        early = TreePairs(matrix[:n_pairs], labels[:n_pairs], lengths[:n_queries], start[:n_pairs], self.categorical)
        late = TreePairs(matrix[n_pairs:], labels[n_pairs:], lengths[n_queries:], start[n_pairs:], self.categorical)
        return early, late

    def take(self, kept: BoolArray) -> TreePairs:
        """The pairs where `kept`, an entry per pair, is true."""
        if kept.all():
            return self
        query_of_pair = np.repeat(np.arange(len(self.lengths)), self.lengths)
        lengths = np.bincount(query_of_pair[kept], minlength=len(self.lengths))
        return TreePairs(self.matrix[kept], self.labels[kept], lengths, self.start[kept], self.categorical)

    def dataset(self, names: list[str], reference: lgb.Dataset | None = None) -> lgb.Dataset:
        """The pairs for LightGBM; a validation set takes its bins from `reference`."""
        return lgb.Dataset(
            self.matrix,
            label=self.labels,
            group=self.lengths,
            init_score=self.start.astype(np.float64),
            feature_name=names,
            categorical_feature=list(self.categorical),
            reference=reference,
            params={"verbose": -1, "deterministic": True, "force_row_wise": True},
        )


def fit_ranker(
    data: RankingData, features: tuple[str, ...], config: RankerConfig, seed: int, *, members: int = 1
) -> FittedRanker:
    """Fits blend and trees on the named features; the latest queries decide how many trees there are.

    The trees are the mean of `members` models that differ in their seeds; the number of rounds is read off the mean of
    their validation curves.

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
    inputs = input_names(features)
    names = neutral_names(inputs)
    values = ranker_inputs(usable.pairs, features)
    compared = {name: values[name] for name in z_score_names(features)}
    matrix = input_matrix(values, inputs)
    lengths = usable.pairs.candidates.lengths
    kept = pairs_to_fit(usable.labels, lengths, seed)
    n_early = max(int(n_queries * (1 - config.validation_share)), 1)
    n_early_pairs = int(lengths[:n_early].sum())
    # The blend that the rounds are chosen on top of must not have seen the validation queries either.
    early_values = {name: column[:n_early_pairs] for name, column in compared.items()}
    early_blend = fit_blend(early_values, usable.labels[:n_early_pairs], lengths[:n_early], config.blend_l2)
    categorical = category_positions(inputs)
    early_pairs = TreePairs(matrix, usable.labels, lengths, early_blend.scores(values), categorical)
    early, late = early_pairs.take(kept).split(n_early)
    seeds = [member_seed(seed, member) for member in range(members)]
    curves = _in_threads(lambda member: _validation_curve(early, late, names, config, member), seeds)
    curve = curves[0] if members == 1 else np.mean(curves, axis=0).tolist()
    # The final fit: blend and trees on all queries.
    blend = fit_blend(compared, usable.labels, lengths, config.blend_l2)
    pairs = TreePairs(matrix, usable.labels, lengths, blend.scores(values), categorical).take(kept)
    n_rounds = best_round(curve, config.smoothing)
    boosters = _in_threads(
        lambda member: lgb.train(_parameters(config, member), pairs.dataset(names), num_boost_round=n_rounds), seeds
    )
    n_cut = int((lengths > LONGEST_QUERY).sum())
    return FittedRanker(Ranker(_mean(boosters), blend, features, inputs), curve, n_cut)


def refit_ranker(
    fitted: Ranker, data: RankingData, config: RankerConfig, seed: int, *, n_rounds: int, members: int = 1
) -> Ranker:
    """Blend and trees of the same features as the fitted ranker's, on other pairs: so many rounds, on all queries."""
    usable = data.with_positives()
    values = ranker_inputs(usable.pairs, fitted.features)
    compared = {name: values[name] for name in z_score_names(fitted.features)}
    matrix = input_matrix(values, fitted.inputs)
    lengths = usable.pairs.candidates.lengths
    blend = fit_blend(compared, usable.labels, lengths, config.blend_l2)
    kept = pairs_to_fit(usable.labels, lengths, seed)
    categorical = category_positions(fitted.inputs)
    pairs = TreePairs(matrix, usable.labels, lengths, blend.scores(values), categorical).take(kept)
    names = neutral_names(fitted.inputs)
    seeds = [member_seed(seed, member) for member in range(members)]
    boosters = _in_threads(
        lambda member: lgb.train(_parameters(config, member), pairs.dataset(names), num_boost_round=n_rounds), seeds
    )
    return Ranker(_mean(boosters), blend, fitted.features, fitted.inputs)


def _in_threads(fit: Callable[[int], T], seeds: list[int]) -> list[T]:
    """`fit` of every seed: each grows its trees in one thread, which leaves the other cores to the other seeds."""
    if len(seeds) == 1:
        return [fit(seeds[0])]
    return list(side_by_side(fit, seeds, min(len(seeds), os.cpu_count() or 1)))


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
        _parameters(config, seed),
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


def lightgbm_parameters(config: RankerConfig) -> dict[str, object]:
    """What LightGBM is given, by its own names; of the rounds, the most that there may be. Seeds are not among them."""
    given = {"num_iterations": config.rounds} | _parameters(config, seed=0)
    return {name: value for name, value in given.items() if name not in ("seed", "verbose")}


def _parameters(config: RankerConfig, seed: int) -> dict[str, object]:
    return {
        "objective": "lambdarank",
        "metric": METRIC,
        "eval_at": [METRIC_AT],
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.min_rows_in_leaf,
        "lambda_l2": config.l2,
        "feature_fraction": config.feature_share,
        "bagging_fraction": config.row_share,
        "bagging_freq": 1,
        "bagging_by_query": True,
        "seed": seed,
        "deterministic": True,
        # With several threads, LightGBM 4.7 draws other queries each time, even if it is set to be deterministic.
        "num_threads": 1,
        "force_row_wise": True,
        "verbose": -1,
    }
