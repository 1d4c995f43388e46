"""The match in plain torch: the definition of every backend, and the CPU path.

    s(u, c) = prior(c) + sum_h ( e_h0 z_h(c) + sum_j e_hj sign_hj x_hj ) / ( e_h0 + sum_j e_hj )
    e_hj    = exp( clamp( <q_h(c), k_h(j)> + alpha_h cos(c, j) + bias_h(j) ) )       attention of candidate c on slot j
    x_hj    = <p_h(c), v_h(j)> + gamma_h cos(c, j)                                   what slot j says about c
    e_h0    = exp( clamp( null_h ) ), z_h(c)                                         the null slot: weight and value

The logits are clamped to +-LOGIT_LIMIT, so that the exponentials need no running maximum: one pass over the slots.
An empty memory has the defined score prior(c) + sum_h z_h(c). 1 / sqrt(d_h) is folded into q and p.
Of the slots that are `RetrievedSlots`, a candidate sees those whose cosine is among the memory's n_kept largest; equal
cosines at the border all count, so that the order of the slots changes nothing. Every backend chooses the same ones
where cosines are exact (`recmem.text.unit_vectors.exact_units`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

LOGIT_LIMIT = 30.0
PER_ITEM = ("unit", "query", "key", "probe", "value", "prior", "null_value")
"""The tables with one row per item; the others are shared by all."""


@dataclass(frozen=True, eq=False)
class MatchTables:
    """What the match needs of every item, computed once from its text; heads lie side by side in the last axis."""

    unit: Float[Tensor, "item dim"]
    """The encoder's vectors, unit length: cos(c, j) is their product."""
    query: Float[Tensor, "item head_dim"]
    key: Float[Tensor, "item head_dim"]
    probe: Float[Tensor, "item head_dim"]
    value: Float[Tensor, "item head_dim"]
    prior: Float[Tensor, " item"]
    null_value: Float[Tensor, "item head"]
    alpha: Float[Tensor, " head"]
    gamma: Float[Tensor, " head"]
    null_logit: Float[Tensor, " head"]

    @property
    def n_heads(self) -> int:
        """Number of heads."""
        return self.alpha.shape[0]

    def head(self, table: Float[Tensor, "row head_dim"], head: int) -> Float[Tensor, "row dim"]:
        """One head's columns of `query`, `key`, `probe` or `value`."""
        width = table.shape[-1] // self.n_heads
        return table[..., head * width : (head + 1) * width]


@dataclass(frozen=True, eq=False)
class RetrievedSlots:
    """Slots that a candidate sees only where they are most like it."""

    older: Bool[Tensor, " slot"]
    """Which slots these are."""
    n_kept: int
    """How many of them a candidate sees in each memory."""

    def to(self, device: torch.device) -> RetrievedSlots:
        """The same on another device."""
        return replace(self, older=self.older.to(device))


def match_scores(
    tables: MatchTables,
    slots: Int[Tensor, " slot"],
    owner: Int[Tensor, " slot"],
    bias: Float[Tensor, "slot head"],
    sign: Float[Tensor, "slot head"],
    candidates: Int[Tensor, " cand"],
    n_memories: int,
    retrieved: RetrievedSlots | None = None,
) -> Float[Tensor, "memory cand"]:
    """Scores of every candidate for every memory.

    `slots` and `candidates` are rows of the tables, `owner[slot]` the memory that a slot belongs to; `bias` is added to
    the attention, `sign` multiplies what the slot says. Differentiable in all tables, `bias` and `sign`.
    """
    cosine = tables.unit[slots] @ tables.unit[candidates].T
    query, probe = tables.query[candidates], tables.probe[candidates]
    key, value = tables.key[slots], tables.value[slots]
    score = tables.prior[candidates].expand(n_memories, -1)
    seen = None if retrieved is None else seen_slots(cosine, owner, retrieved)
    for head in range(tables.n_heads):
        attention, says = _head(tables, head, cosine, (query, probe, key, value), bias)
        attention = attention if seen is None else attention * seen
        null = tables.null_logit[head].clamp(-LOGIT_LIMIT, LOGIT_LIMIT).exp()
        empty = cosine.new_zeros(n_memories, len(candidates))
        numerator = empty.index_add(0, owner, attention * says * sign[:, head, None])
        denominator = empty.index_add(0, owner, attention)
        score = score + (numerator + null * tables.null_value[candidates, head]) / (denominator + null)
    return score


def match_contributions(
    tables: MatchTables,
    slots: Int[Tensor, " slot"],
    bias: Float[Tensor, "slot head"],
    sign: Float[Tensor, "slot head"],
    candidates: Int[Tensor, " cand"],
    retrieved: RetrievedSlots | None = None,
) -> tuple[Float[Tensor, " cand"], Float[Tensor, " cand"], Float[Tensor, "slot cand"]]:
    """One memory taken apart: the prior, the null slot's part and each slot's, which sum to the score."""
    cosine = tables.unit[slots] @ tables.unit[candidates].T
    rows = (tables.query[candidates], tables.probe[candidates], tables.key[slots], tables.value[slots])
    null_part = torch.zeros(len(candidates), dtype=cosine.dtype, device=cosine.device)
    parts = torch.zeros_like(cosine)
    seen = None if retrieved is None else seen_slots(cosine, torch.zeros_like(slots), retrieved)
    for head in range(tables.n_heads):
        attention, says = _head(tables, head, cosine, rows, bias)
        attention = attention if seen is None else attention * seen
        null = tables.null_logit[head].clamp(-LOGIT_LIMIT, LOGIT_LIMIT).exp()
        total = attention.sum(0) + null
        parts = parts + attention * says * sign[:, head, None] / total
        null_part = null_part + null * tables.null_value[candidates, head] / total
    return tables.prior[candidates], null_part, parts


def seen_slots(
    cosine: Float[Tensor, "slot cand"], owner: Int[Tensor, " slot"], retrieved: RetrievedSlots
) -> Bool[Tensor, "slot cand"]:
    """Which slots each candidate sees. `owner` never falls."""
    seen = (~retrieved.older)[:, None].repeat(1, cosine.shape[1])
    older = torch.nonzero(retrieved.older).squeeze(1)
    for rows in older.split(torch.unique_consecutive(owner[older], return_counts=True)[1].tolist()):
        among = cosine[rows].detach()
        seen[rows] = among >= among.topk(min(retrieved.n_kept, len(rows)), dim=0).values[-1]
    return seen


def _head(
    tables: MatchTables,
    head: int,
    cosine: Float[Tensor, "slot cand"],
    rows: tuple[Tensor, Tensor, Tensor, Tensor],
    bias: Float[Tensor, "slot head"],
) -> tuple[Float[Tensor, "slot cand"], Float[Tensor, "slot cand"]]:
    """Unnormalised attention and what each slot says, of one head."""
    query, probe, key, value = (tables.head(row, head) for row in rows)
    logits = torch.addcmul(key @ query.T, cosine, tables.alpha[head]) + bias[:, head, None]
    says = torch.addcmul(value @ probe.T, cosine, tables.gamma[head])
    return logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).exp(), says
