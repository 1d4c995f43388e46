"""The loss of the match module: a softmax over shared candidates, corrected for how often each is drawn."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def sampled_softmax(
    scores: Float[Tensor, "query cand"],
    positives: Bool[Tensor, "query cand"],
    excluded: Bool[Tensor, "query cand"],
    log_draws: Float[Tensor, " cand"],
    weights: Float[Tensor, "query cand"] | None = None,
) -> Float[Tensor, ""]:
    """Minus the log-probability of a positive: the mean over each query's positives, then over queries.

    `log_draws` is the log of how often each candidate was expected to be drawn; it is subtracted from the scores (the
    logQ correction: Bengio & Senecal, 2008; Yi et al., RecSys 2019). `excluded` candidates are no negatives of the
    query: items in its memory, and positives that this step leaves out. Every query needs a positive. `weights`
    multiply the log-probabilities of positives; elsewhere they are not read.
    """
    corrected = scores - log_draws
    # The lowest finite number rather than -inf, whose difference from another -inf would be NaN.
    corrected = corrected.masked_fill(excluded, torch.finfo(scores.dtype).min)
    log_probability = corrected.log_softmax(dim=1)
    if weights is not None:
        log_probability = log_probability * weights
    total = torch.where(positives, log_probability, 0).sum(1)
    mean_of_query = total / positives.sum(1)
    return -mean_of_query.mean()
