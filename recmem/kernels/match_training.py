"""`match_scores` for training: the same numbers, with the backward pass written out.

What autograd would record for every head (a dozen arrays of slots x candidates) shrinks to two, attention and values,
and each is passed over as few times as the chain rule allows. See `benchmarks/results/cpu.md`.

    d_num = d_score / den                  d_den = -d_score num / den^2          per memory and candidate
    d_x   = d_num sign e                   d_e e = e (d_num sign x + d_den)      per slot and candidate
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recmem.kernels.match_reference import LOGIT_LIMIT, MatchTables, RetrievedSlots, seen_slots


def match_scores_training(
    tables: MatchTables,
    slots: Int[Tensor, " slot"],
    owner: Int[Tensor, " slot"],
    bias: Float[Tensor, "slot head"],
    sign: Float[Tensor, "slot head"],
    candidates: Int[Tensor, " cand"],
    n_memories: int,
    retrieved: RetrievedSlots | None = None,
) -> Float[Tensor, "memory cand"]:
    """See `match_scores`; differentiable in all tables but `unit`, and in `bias` and `sign`."""
    cosine = (tables.unit[slots] @ tables.unit[candidates].T).detach()
    attended = _Attend.apply(  # type: ignore[no-untyped-call]
        cosine,
        None if retrieved is None else seen_slots(cosine, owner, retrieved),
        owner,
        n_memories,
        tables.query.index_select(0, candidates),
        tables.probe.index_select(0, candidates),
        tables.key.index_select(0, slots),
        tables.value.index_select(0, slots),
        bias,
        sign,
        tables.alpha,
        tables.gamma,
        tables.null_value.index_select(0, candidates),
        tables.null_logit,
    )
    scores: Tensor = attended + tables.prior.index_select(0, candidates)
    return scores


class _Attend(torch.autograd.Function):
    """Sum over heads of (weighed + null value) / (attention + null weight): float[memory, cand]."""

    @staticmethod
    def forward(
        ctx: Any, cosine: Tensor, seen: Tensor | None, owner: Tensor, n_memories: int, *inputs: Tensor
    ) -> Tensor:
        query, probe, key, value, bias, sign, alpha, gamma, null_value, null_logit = inputs
        width = query.shape[1] // len(alpha)
        null = null_logit.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).exp()
        score = cosine.new_zeros(n_memories, cosine.shape[1])
        saved = []
        for head in range(len(alpha)):
            part = slice(head * width, (head + 1) * width)
            logits = torch.addmm(cosine, key[:, part], query[:, part].T, beta=float(alpha[head]))
            logits.add_(bias[:, head, None])
            clamped = _clamped(logits)
            attention = logits.clamp_(-LOGIT_LIMIT, LOGIT_LIMIT).exp_()
            if seen is not None:
                attention.mul_(seen)
            says = torch.addmm(cosine, value[:, part], probe[:, part].T, beta=float(gamma[head]))
            den = torch.zeros_like(score).index_add_(0, owner, attention).add_(null[head])
            num = torch.zeros_like(score).index_add_(0, owner, (attention * says).mul_(sign[:, head, None]))
            num.add_(null[head] * null_value[:, head])
            score.add_(num / den)
            saved.append((attention, says, clamped, num, den))
        ctx.save_for_backward(cosine, owner, *inputs)
        ctx.heads = saved
        return score

    @staticmethod
    def backward(ctx: Any, *d_outputs: Tensor) -> Any:
        (d_score,) = d_outputs
        cosine, owner, query, probe, key, value, bias, sign, alpha, gamma, null_value, null_logit = ctx.saved_tensors
        width = query.shape[1] // len(alpha)
        grads = [torch.empty_like(part) for part in (query, probe, key, value, bias, sign, alpha, gamma)]
        d_query, d_probe, d_key, d_value, d_bias, d_sign, d_alpha, d_gamma = grads
        d_null_value, d_null_logit = torch.empty_like(null_value), torch.empty_like(null_logit)
        null = null_logit.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).exp()
        inside = null_logit.abs() <= LOGIT_LIMIT
        for head, (attention, says, clamped, num, den) in enumerate(ctx.heads):
            part = slice(head * width, (head + 1) * width)
            d_num = d_score / den
            d_den = -d_num * (num / den)
            d_null_value[:, head] = null[head] * d_num.sum(0)
            d_null = (d_num * null_value[:, head]).sum() + d_den.sum()
            d_null_logit[head] = d_null * null[head] * inside[head]
            d_says = d_num[owner].mul_(attention)
            d_sign[:, head] = torch.einsum("sc,sc->s", d_says, says)
            d_says.mul_(sign[:, head, None])
            d_logits = says * d_says
            d_logits.addcmul_(d_den[owner], attention)
            if clamped is not None:
                d_logits.masked_fill_(clamped, 0)
            d_query[:, part], d_key[:, part] = d_logits.T @ key[:, part], d_logits @ query[:, part]
            d_probe[:, part], d_value[:, part] = d_says.T @ value[:, part], d_says @ probe[:, part]
            d_bias[:, head] = d_logits.sum(1)
            d_alpha[head], d_gamma[head] = (d_logits * cosine).sum(), (d_says * cosine).sum()
        return (None, None, None, None, *grads, d_null_value, d_null_logit)


def _clamped(logits: Tensor) -> Tensor | None:
    """Where the clamp stops the gradient; None where it stops none."""
    if not logits.numel():
        return None
    low, high = torch.aminmax(logits)
    return logits.abs() > LOGIT_LIMIT if low < -LOGIT_LIMIT or high > LOGIT_LIMIT else None
