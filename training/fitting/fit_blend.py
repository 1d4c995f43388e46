"""Fits the linear blend of the ranker: a softmax over each query's candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from feature_store.arrays import Float32Array, Int8Array, IntArray
from recmem.ranking.feature_names import RELATIVE_SUFFIX
from recmem.ranking.ranker import Blend
from training.fitting.one_thread import one_torch_thread

MAX_ITERATIONS = 100
"""Of L-BFGS."""


@dataclass(frozen=True, eq=False)
class PositionBias:
    """What positions add to scores in a softmax over what was shown; unknown when items are scored."""

    groups: IntArray
    """The group of each pair's position, see `training.fitting.position_bias`."""
    n_groups: int
    regularization: float = 0.0
    """LightGBM's `lambdarank_position_bias_regularization`: half of it times the squared bias of every pair."""

    def of_pairs(self, biases: Tensor) -> Tensor:
        """float32[pair]: the bias of its group."""
        return biases.index_select(0, torch.from_numpy(self.groups))

    def penalty(self, biases: Tensor, n_queries: int) -> Tensor:
        """The L2 of LightGBM's debiasing, as a mean over queries."""
        n_pairs = torch.bincount(torch.from_numpy(self.groups), minlength=self.n_groups)
        return self.regularization / 2 * (n_pairs * biases.square()).sum() / n_queries


def fit_blend(
    features: dict[str, Float32Array],
    labels: Int8Array,
    lengths: IntArray,
    l2: float,
    weights: Float32Array | None = None,
) -> Blend:
    """Weights of the relative features that make each query's positives most likely under a softmax over its pairs.

    `features` and `labels` have one entry per pair, the pairs of a query next to each other; `lengths` has the number
    of pairs of each query. The relative features are z-scores, so their weights can be compared. The loss is the mean
    over queries of minus the mean log-probability of the query's positives, plus `l2` times the squared weights. It is
    convex; L-BFGS starts from zero and is deterministic.

    `weights` of the pairs multiply the log-probabilities of positives, and the other candidates in the softmax, these
    relative to their query's mean. Only ratios matter.
    """
    return fit_debiased_blend(features, labels, lengths, l2, None, weights)[0]


def fit_debiased_blend(
    features: dict[str, Float32Array],
    labels: Int8Array,
    lengths: IntArray,
    l2: float,
    bias: PositionBias | None,
    pair_weights: Float32Array | None = None,
) -> tuple[Blend, Float32Array]:
    """As `fit_blend`, in a softmax whose scores are the blend plus a bias for each group of positions.

    The blend, and the bias of each group: float32[group], empty without `bias`. The biases have the L2 of the weights
    too, which fixes the constant that all could share.
    """
    names = [name for name in features if name.endswith(RELATIVE_SUFFIX)]
    table = np.stack([features[name] for name in names], axis=1)
    inputs = torch.from_numpy(np.nan_to_num(table, nan=0.0))  # [pair, feature]; a missing z-score counts as the mean
    softmax = _Softmax.of(labels, lengths, pair_weights)
    weights = torch.zeros(len(names), requires_grad=True)
    biases = torch.zeros(0 if bias is None else bias.n_groups, requires_grad=True)
    learned = [weights] if bias is None else [weights, biases]
    optimizer = torch.optim.LBFGS(learned, max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        scores = inputs @ weights
        if bias is not None:
            scores = scores + bias.of_pairs(biases)
        loss = softmax.loss(scores) + l2 * weights.square().sum()
        if bias is not None:
            loss = loss + l2 * biases.square().sum() + bias.penalty(biases, len(lengths))
        loss.backward()
        return loss

    with one_torch_thread():
        optimizer.step(closure)
    blend = Blend(dict(zip(names, weights.detach().tolist(), strict=True)))
    return blend, biases.detach().numpy()


@dataclass(frozen=True, eq=False)
class _Softmax:
    """The loss over queries of pairs with labels, given the pairs' scores."""

    n_queries: int
    query_of_pair: Tensor
    is_positive: Tensor
    """bool[pair]"""
    share: Tensor
    """float[positive]: of its query's loss, times what it weighs."""
    odds: Tensor | None
    """float[pair]: what a candidate counts in the softmax; None where all count 1."""

    @classmethod
    def of(cls, labels: Int8Array, lengths: IntArray, weights: Float32Array | None) -> _Softmax:
        query_of_pair = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths))
        is_positive = torch.from_numpy(labels > 0)
        query_of_positive = query_of_pair[is_positive]
        # Every query weighs the same, however many positives it has.
        n_positives = torch.bincount(query_of_positive, minlength=len(lengths))
        share = 1 / n_positives[query_of_positive]
        odds = None
        if weights is not None:
            weighted = share * torch.from_numpy(weights)[is_positive]
            # A mean query has the weight 1, so that the L2 means the same whatever the scale of the weights.
            share = weighted * len(lengths) / weighted.sum()
            odds = torch.from_numpy(_odds(weights, labels, query_of_pair.numpy(), len(lengths)))
        return cls(len(lengths), query_of_pair, is_positive, share, odds)

    def loss(self, scores: Tensor) -> Tensor:
        """Minus the log-probabilities of the positives: by their shares within queries, the mean over these."""
        query_of_positive = self.query_of_pair[self.is_positive]
        # Subtracting the query's largest score keeps exp within range and changes neither result nor gradient.
        lowest = torch.full((self.n_queries,), -torch.inf)
        largest = lowest.scatter_reduce(0, self.query_of_pair, scores.detach(), "amax")  # [query]
        shifted = (scores - largest[self.query_of_pair]).exp()
        if self.odds is not None:
            shifted = shifted * self.odds
        log_total = torch.zeros(self.n_queries).index_add(0, self.query_of_pair, shifted).log()  # [query]
        # Of the positives alone, which are few: no other log-probability is in the loss.
        log_probability = scores[self.is_positive] - largest[query_of_positive] - log_total[query_of_positive]
        return -(log_probability * self.share).sum() / self.n_queries


def _odds(weights: Float32Array, labels: Int8Array, query: IntArray, n_queries: int) -> Float32Array:
    """float32[pair]: 1 for positives, and for others their weight relative to the mean of their query's others.

    0 for a pair that weighs nothing, which does not count in the mean either.
    """
    counts = (labels <= 0) & (weights > 0)
    total = np.bincount(query[counts], weights[counts], n_queries)
    mean = total / np.maximum(np.bincount(query[counts], minlength=n_queries), 1)
    relative = weights / np.where(mean > 0, mean, 1)[query]
    odds: Float32Array = np.where(labels <= 0, relative, weights > 0).astype(np.float32)
    return odds
