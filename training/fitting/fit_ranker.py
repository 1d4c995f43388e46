"""Fits the ranker on retrieved candidates: a listwise linear blend, then LightGBM on what it leaves."""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import torch

from feature_store import DataError
from feature_store.arrays import Float32Array, Int8Array, IntArray
from recmem.ranking.pair_features import PairFeatures
from recmem.ranking.ranker import Blend, Ranker
from recmem.ranking.ranker_inputs import RELATIVE_SUFFIX, input_matrix, input_names, ranker_inputs


@dataclass(frozen=True)
class RankerConfig:
    """How the ranker is fitted."""

    rounds: int = 100
    """Boosting rounds at most; fewer where the later queries say so."""
    smoothing: int = 21
    """Rounds that the later queries' figure is averaged over before the best number of rounds is read off."""
    learning_rate: float = 0.05
    leaves: int = 7
    min_rows_in_leaf: int = 300
    l2: float = 10.0
    feature_share: float = 0.6
    """Share of the features that a tree may use."""
    row_share: float = 0.7
    """Share of the queries that a tree is grown on."""
    blend_l2: float = 1e-3
    """Regularisation of the linear blend."""
    validation_share: float = 0.25
    """The latest queries by time, which decide on the number of rounds; the final fit uses all."""

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ValueError(f"rounds: expected at least 1, got {self.rounds}. Give a number of boosting rounds.")
        if self.smoothing < 1 or self.smoothing % 2 == 0:
            raise ValueError(f"smoothing: expected an odd number of rounds, got {self.smoothing}. Try 21.")


@dataclass(frozen=True, eq=False)
class RankingData:
    """Pairs with labels; queries in order of time."""

    pairs: PairFeatures
    labels: Int8Array

    def with_positives(self) -> RankingData:
        """The queries that have at least one positive among their candidates."""
        n_positives = np.bincount(self.pairs.candidates.row_index, self.labels, len(self.pairs.candidates))
        return self.take(np.flatnonzero(n_positives > 0))

    def take(self, rows: IntArray) -> RankingData:
        """The given queries, in the given order."""
        return RankingData(self.pairs.take(rows), self.labels[self.pairs.candidates.index_of(rows)])


@dataclass(frozen=True)
class FittedRanker:
    """A ranker and how its fit went."""

    ranker: Ranker
    curve: list[float]
    """NDCG@10 of the later queries by boosting round."""


def fit_ranker(data: RankingData, columns: tuple[str, ...], config: RankerConfig, seed: int) -> FittedRanker:
    """Fits blend and trees on the given columns.

    Raises DataError when no query has a positive among its candidates.
    """
    usable = data.with_positives()
    n_queries = len(usable.pairs.candidates)
    if n_queries < 2:
        raise DataError(
            f"events: expected at least 2 queries with a retrieved positive between the match module's period and the "
            f"test, got {n_queries}. Give more events, or more candidates per query."
        )
    features = ranker_inputs(usable.pairs, columns)
    names = input_names(columns)
    lengths = usable.pairs.candidates.lengths
    blend = fit_blend(features, usable.labels, lengths, config.blend_l2)
    n_early = max(int(n_queries * (1 - config.validation_share)), 1)
    cut = int(usable.pairs.candidates.offsets[n_early])
    matrix, start = input_matrix(features, names), blend.scores(features)
    # The blend that the rounds are chosen against must not have seen the later queries either.
    early_blend = fit_blend(
        {name: column[:cut] for name, column in features.items()},
        usable.labels[:cut],
        lengths[:n_early],
        config.blend_l2,
    )
    early_start = early_blend.scores(features)
    early = _dataset(matrix[:cut], usable.labels[:cut], lengths[:n_early], early_start[:cut], names)
    late = _dataset(matrix[cut:], usable.labels[cut:], lengths[n_early:], early_start[cut:], names, reference=early)
    curve: dict[str, dict[str, list[float]]] = {}
    lgb.train(
        _parameters(config, seed),
        early,
        num_boost_round=config.rounds,
        valid_sets=[late],
        valid_names=["late"],
        callbacks=[lgb.record_evaluation(curve)],
    )
    by_round = curve["late"]["ndcg@10"]
    whole = _dataset(matrix, usable.labels, lengths, start, names)
    booster = lgb.train(_parameters(config, seed), whole, num_boost_round=best_round(by_round, config.smoothing))
    return FittedRanker(Ranker(booster, blend, columns, names), by_round)


def best_round(curve: list[float], width: int) -> int:
    """The round, from 1, around which a curve is highest on average over `width` rounds (odd); the first of equals.

    A few hundred queries make a curve that jumps by more than the trees change: its single highest point is chance.
    """
    padded = np.pad(np.asarray(curve, np.float64), width // 2, mode="edge")
    return int(np.convolve(padded, np.full(width, 1 / width), mode="valid").argmax()) + 1


def fit_blend(features: dict[str, Float32Array], labels: Int8Array, lengths: IntArray, l2: float) -> Blend:
    """Weights of the relative columns that make each query's positives most likely under a softmax over its rows.

    The columns are z-scores, so the weights compare. Solved with L-BFGS from zero; deterministic.
    """
    names = [name for name in features if name.endswith(RELATIVE_SUFFIX)]
    inputs = torch.from_numpy(np.nan_to_num(np.stack([features[name] for name in names], axis=1), nan=0.0))
    owner = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths))
    positive = torch.from_numpy(labels > 0)
    share = 1 / torch.bincount(owner[positive], minlength=len(lengths))[owner[positive]]
    weights = torch.zeros(len(names), requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        scores = inputs @ weights
        largest = torch.full((len(lengths),), -torch.inf).scatter_reduce(0, owner, scores.detach(), "amax")
        total = torch.zeros(len(lengths)).index_add(0, owner, (scores - largest[owner]).exp())
        log_probability = scores[positive] - largest[owner[positive]] - total.log()[owner[positive]]
        loss = -(log_probability * share).sum() / len(lengths) + l2 * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return Blend(dict(zip(names, weights.detach().tolist(), strict=True)))


def _dataset(
    matrix: Float32Array,
    labels: Int8Array,
    lengths: IntArray,
    start: Float32Array,
    names: tuple[str, ...],
    reference: lgb.Dataset | None = None,
) -> lgb.Dataset:
    return lgb.Dataset(
        matrix,
        label=labels,
        group=lengths,
        init_score=start.astype(np.float64),
        feature_name=list(names),
        reference=reference,
        params={"verbose": -1, "deterministic": True, "force_row_wise": True},
    )


def _parameters(config: RankerConfig, seed: int) -> dict[str, object]:
    return {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [10],
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
        # Drawing queries with several threads, LightGBM 4.7 gives another model each time, deterministic or not.
        "num_threads": 1,
        "force_row_wise": True,
        "verbose": -1,
    }
