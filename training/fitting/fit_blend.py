"""Fits the linear blend of the ranker: a softmax over each query's candidates."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from feature_store.arrays import Float32Array, Int8Array, IntArray
from recmem.ranking.feature_table import RELATIVE_SUFFIX
from recmem.ranking.ranker import Blend

MAX_ITERATIONS = 100
"""Of L-BFGS."""


def fit_blend(features: dict[str, Float32Array], labels: Int8Array, lengths: IntArray, l2: float) -> Blend:
    """Weights of the relative features that make each query's positives most likely under a softmax over its pairs.

    `features` and `labels` have one entry per pair, the pairs of a query next to each other; `lengths` has the number
    of pairs of each query. The relative features are z-scores, so their weights can be compared. The loss is the mean
    over queries of minus the mean log-probability of the query's positives, plus `l2` times the squared weights. It is
    convex; L-BFGS starts from zero and is deterministic.
    """
    names = [name for name in features if name.endswith(RELATIVE_SUFFIX)]
    table = np.stack([features[name] for name in names], axis=1)
    inputs = torch.from_numpy(np.nan_to_num(table, nan=0.0))  # [pair, feature]; a missing z-score counts as the mean
    query_of_pair = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths))
    is_positive = torch.from_numpy(labels > 0)
    query_of_positive = query_of_pair[is_positive]
    # Every query weighs the same, however many positives it has.
    n_positives = torch.bincount(query_of_positive, minlength=len(lengths))
    share = 1 / n_positives[query_of_positive]
    weights = torch.zeros(len(names), requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        scores = inputs @ weights
        # Subtracting the query's largest score keeps exp within range and changes neither result nor gradient.
        lowest = torch.full((len(lengths),), -torch.inf)
        largest = lowest.scatter_reduce(0, query_of_pair, scores.detach(), "amax")  # [query]
        shifted = (scores - largest[query_of_pair]).exp()
        log_total = torch.zeros(len(lengths)).index_add(0, query_of_pair, shifted).log()  # [query]
        # Of the positives alone: a gradient of many entries would be added up in parallel, in no fixed order.
        log_probability = scores[is_positive] - largest[query_of_positive] - log_total[query_of_positive]
        loss = -(log_probability * share).sum() / len(lengths) + l2 * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return Blend(dict(zip(names, weights.detach().tolist(), strict=True)))
