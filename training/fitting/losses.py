"""What the match module is trained on: a softmax over shared candidates, corrected for how they were drawn."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def sampled_softmax(
    scores: Float[Tensor, "query cand"],
    positives: Bool[Tensor, "query cand"],
    excluded: Bool[Tensor, "query cand"],
    log_draws: Float[Tensor, " cand"],
) -> Float[Tensor, ""]:
    """Mean over queries of minus the mean log-probability of the query's positives.

    `log_draws` is the log of how often each candidate was expected to be drawn; it is taken off the scores (logQ
    correction: Bengio & Senecal 2008, Yi et al., RecSys 2019). `excluded` are candidates that are no negatives of this
    query: what its memory holds, and its positives that are not asked for in this step. Every query has a positive.
    """
    corrected = (scores - log_draws).masked_fill(excluded, torch.finfo(scores.dtype).min)
    log_probability = corrected.log_softmax(dim=1)
    wanted = torch.where(positives, log_probability, 0).sum(1) / positives.sum(1)
    return -wanted.mean()
