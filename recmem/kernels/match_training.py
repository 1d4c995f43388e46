"""`match_scores` for training: the same numbers, with the backward pass written out.

Autograd would record a dozen arrays of slots x candidates for every head. Here two are kept, attention and values, and
each is passed over as few times as the chain rule allows. See `benchmarks/results/cpu.md`.

With num = sum_j e_j sign_j x_j + e_0 z and den = sum_j e_j + e_0, a head adds num / den to the score:

    d_num    = d_score / den                        d_den = -d_score num / den^2           per memory and candidate
    d_x_j    = d_num sign_j e_j                     d_sign_j = sum_c d_num e_j x_j         per slot
    d_logit_j = e_j (d_num sign_j x_j + d_den)      0 where the clamp holds the logit      per slot and candidate
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recmem.kernels.fixed_order import rows_of, sums_by_row
from recmem.kernels.match_reference import LOGIT_LIMIT, MatchTables, RetrievedSlots, clamped_exp, visible_slots


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
    """See `match_scores`. Differentiable in all tables but `unit`, and in `bias` and `sign`."""
    cosine = (tables.unit[slots] @ tables.unit[candidates].T).detach()
    attended = _Attend.apply(  # type: ignore[no-untyped-call]
        cosine,
        None if retrieved is None else visible_slots(cosine, owner, retrieved),
        owner,
        n_memories,
        rows_of(tables.query, candidates),
        rows_of(tables.probe, candidates),
        rows_of(tables.key, slots),
        rows_of(tables.value, slots),
        bias,
        sign,
        tables.alpha,
        tables.gamma,
        rows_of(tables.null_value, candidates),
        tables.null_logit,
    )
    scores: Tensor = attended + rows_of(tables.prior, candidates)
    return scores


class _HeadState(NamedTuple):
    """What one head's backward pass reads of its forward pass."""

    attention: Tensor
    """[slot, cand]"""
    values: Tensor
    """[slot, cand], without sign."""
    clamped: Tensor | None
    """[slot, cand]: where the clamp holds a logit."""
    num: Tensor
    """[memory, cand]"""
    den: Tensor
    """[memory, cand]"""


class _Attend(torch.autograd.Function):
    """Sum over heads of num / den: float[memory, cand]. The score is this plus the prior."""

    @staticmethod
    def forward(
        ctx: Any, cosine: Tensor, visible: Tensor | None, owner: Tensor, n_memories: int, *inputs: Tensor
    ) -> Tensor:
        query, probe, key, value, bias, sign, alpha, gamma, null_value, null_logit = inputs
        n_heads = len(alpha)
        head_dim = query.shape[1] // n_heads
        null = clamped_exp(null_logit)
        # Of all heads at once: on a GPU each look at a number waits for it.
        cosine_in_logits = alpha.tolist()
        cosine_in_values = gamma.tolist()
        score = cosine.new_zeros(n_memories, cosine.shape[1])
        states = []
        for head in range(n_heads):
            part = slice(head * head_dim, (head + 1) * head_dim)

            # e_hj: the logits' array becomes the attention in place.
            logits = torch.addmm(cosine, key[:, part], query[:, part].T, beta=cosine_in_logits[head])
            logits.add_(bias[:, head, None])
            clamped = _where_clamped(logits)
            attention = logits.clamp_(-LOGIT_LIMIT, LOGIT_LIMIT).exp_()
            if visible is not None:
                attention.mul_(visible)

            # x_hj, then the sums over each memory's slots: [slot, cand] -> [memory, cand].
            values = torch.addmm(cosine, value[:, part], probe[:, part].T, beta=cosine_in_values[head])
            den = sums_by_row(attention, owner, n_memories).add_(null[head])
            num = sums_by_row((attention * values).mul_(sign[:, head, None]), owner, n_memories)
            num.add_(null[head] * null_value[:, head])

            score.add_(num / den)
            states.append(_HeadState(attention, values, clamped, num, den))
        ctx.save_for_backward(cosine, owner, *inputs)
        ctx.heads = states
        return score

    @staticmethod
    def backward(ctx: Any, *d_outputs: Tensor) -> Any:
        (d_score,) = d_outputs
        cosine, owner, query, probe, key, value, bias, sign, alpha, gamma, null_value, null_logit = ctx.saved_tensors
        n_heads = len(alpha)
        head_dim = query.shape[1] // n_heads
        inputs = (query, probe, key, value, bias, sign, alpha, gamma, null_value, null_logit)
        grads = [torch.empty_like(part) for part in inputs]
        d_query, d_probe, d_key, d_value, d_bias, d_sign, d_alpha, d_gamma, d_null_value, d_null_logit = grads
        null = clamped_exp(null_logit)
        is_free = null_logit.abs() <= LOGIT_LIMIT  # the clamp stops the gradient of the others
        for head, (attention, values, clamped, num, den) in enumerate(ctx.heads):
            part = slice(head * head_dim, (head + 1) * head_dim)

            # [memory, cand]: the quotient rule, and the null slot, which is in both sums.
            d_num = d_score / den
            d_den = -d_num * (num / den)
            d_null_value[:, head] = null[head] * d_num.sum(0)
            d_null = (d_num * null_value[:, head]).sum() + d_den.sum()
            d_null_logit[head] = d_null * null[head] * is_free[head]

            # [slot, cand]: gradients of sign and of x_hj. The first product is d_num e, before the sign comes in.
            d_values = rows_of(d_num, owner).mul_(attention)
            d_sign[:, head] = (d_values * values).sum(1)
            d_values.mul_(sign[:, head, None])

            # [slot, cand]: gradient of the logits. d_values already holds the factor e of the first term.
            d_logits = values * d_values
            d_logits.addcmul_(rows_of(d_den, owner), attention)
            if clamped is not None:
                d_logits.masked_fill_(clamped, 0)

            # Back through the two products and the cosine's weights.
            d_query[:, part] = d_logits.T @ key[:, part]
            d_key[:, part] = d_logits @ query[:, part]
            d_probe[:, part] = d_values.T @ value[:, part]
            d_value[:, part] = d_values @ probe[:, part]
            d_bias[:, head] = d_logits.sum(1)
            d_alpha[head] = (d_logits * cosine).sum()
            d_gamma[head] = (d_values * cosine).sum()
        # cosine, visible, owner and n_memories have no gradient.
        return (None, None, None, None, *grads)


def _where_clamped(logits: Tensor) -> Tensor | None:
    """Where the clamp stops the gradient; None where it stops none."""
    if not logits.numel():
        return None
    if logits.is_cuda:
        # Cheaper than to wait for the GPU's answer whether there are any.
        return logits.abs() > LOGIT_LIMIT
    low, high = torch.aminmax(logits)
    return logits.abs() > LOGIT_LIMIT if low < -LOGIT_LIMIT or high > LOGIT_LIMIT else None
