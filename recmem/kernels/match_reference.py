"""The match in plain torch, for memories that share their candidates: its definition.

    s(u, c) = prior(c) + sum_h ( e_h0 z_h(c) + sum_j e_hj sign_hj x_hj ) / ( e_h0 + sum_j e_hj )
    e_hj    = exp( clamp( <q_h(c), k_h(j)> + alpha_h cos(c, j) + bias_h(j) ) )       attention of candidate c to slot j
    x_hj    = <p_h(c), v_h(j)> + gamma_h cos(c, j)                                   value of slot j for candidate c
    e_h0    = exp( clamp( null_h ) ), z_h(c)                                         weight and value of the null slot

The logits are clamped to +-LOGIT_LIMIT, so the exponentials need no running maximum: one pass over the slots.
An empty memory has the defined score prior(c) + sum_h z_h(c). 1 / sqrt(head_dim) is folded into q and p.

Of the slots marked in `RetrievedSlots`, only those whose cosine is among the memory's n_kept largest are visible to a
candidate. Ties at the border are all visible, so the order of the slots changes nothing. Every backend picks the same
slots where cosines are exact (`recmem.text.unit_vectors.exact_units`).

Training uses `match_scores_training`, which gives the same numbers. Memories that have candidates of their own are
scored by `match_pairs`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recmem.kernels.fixed_order import sums_by_row

LOGIT_LIMIT = 30.0
PER_ITEM = ("unit", "query", "key", "probe", "value", "prior", "null_value")
"""The tables with one row per item; the others are shared by all items."""


@dataclass(frozen=True, eq=False)
class MatchTables:
    """Everything that the match reads of an item, computed once from its text.

    `width` is n_heads * head_dim: the heads lie side by side in the last axis. `unit`, `query`, `key`, `probe` and
    `value` may be of a shorter type than the rest; products are computed in the type of the rest, see `rows`.
    """

    unit: Float[Tensor, "item dim"]
    """The encoder's vectors, of unit length: cos(c, j) is their dot product."""
    query: Float[Tensor, "item width"]
    key: Float[Tensor, "item width"]
    probe: Float[Tensor, "item width"]
    value: Float[Tensor, "item width"]
    prior: Float[Tensor, " item"]
    null_value: Float[Tensor, "item head"]
    alpha: Float[Tensor, " head"]
    gamma: Float[Tensor, " head"]
    null_logit: Float[Tensor, " head"]

    @property
    def n_heads(self) -> int:
        """Number of heads."""
        return self.alpha.shape[0]

    def rows(self, table: Float[Tensor, "item n"], rows: Int[Tensor, " row"]) -> Float[Tensor, "row n"]:
        """Rows of one of the tables, in the type that scores are computed in."""
        return table[rows].to(self.prior.dtype)

    def head(self, table: Float[Tensor, "row width"], head: int) -> Float[Tensor, "row head_dim"]:
        """One head's share of rows of `query`, `key`, `probe` or `value`."""
        head_dim = table.shape[-1] // self.n_heads
        return table[..., head * head_dim : (head + 1) * head_dim]


@dataclass(frozen=True, eq=False)
class RetrievedSlots:
    """Older slots, of which a candidate reads only those most similar to it."""

    older: Bool[Tensor, " slot"]
    """Which slots these are."""
    n_kept: int
    """How many of them are visible to a candidate, per memory."""

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

    `slots` and `candidates` are rows of the tables, `owner[slot]` is the memory that a slot belongs to. `bias` is added
    to the logits, `sign` multiplies a slot's value. Differentiable in all tables, `bias` and `sign`.
    """
    cosine = tables.rows(tables.unit, slots) @ tables.rows(tables.unit, candidates).T  # [slot, cand]
    gathered = _Gathered.of(tables, slots, candidates)
    visible = None if retrieved is None else visible_slots(cosine, owner, retrieved)
    score = tables.prior[candidates].expand(n_memories, -1)
    for head in range(tables.n_heads):
        attention, values = _head(tables, head, gathered, cosine, bias)  # [slot, cand] each
        if visible is not None:
            attention = attention * visible
        # Slots are added up into their memories: [slot, cand] -> [memory, cand].
        weighted = sums_by_row(attention * values * sign[:, head, None], owner, n_memories)
        total = sums_by_row(attention, owner, n_memories)
        null = clamped_exp(tables.null_logit[head])
        score = score + (weighted + null * tables.null_value[candidates, head]) / (total + null)
    return score


def match_contributions(
    tables: MatchTables,
    slots: Int[Tensor, " slot"],
    bias: Float[Tensor, "slot head"],
    sign: Float[Tensor, "slot head"],
    candidates: Int[Tensor, " cand"],
    retrieved: RetrievedSlots | None = None,
) -> tuple[Float[Tensor, " cand"], Float[Tensor, " cand"], Float[Tensor, "slot cand"]]:
    """Prior, null slot's part and each slot's part of one memory's scores; they sum to the score."""
    cosine = tables.rows(tables.unit, slots) @ tables.rows(tables.unit, candidates).T  # [slot, cand]
    gathered = _Gathered.of(tables, slots, candidates)
    visible = None if retrieved is None else visible_slots(cosine, torch.zeros_like(slots), retrieved)
    null_part = torch.zeros(len(candidates), dtype=cosine.dtype, device=cosine.device)
    parts = torch.zeros_like(cosine)
    for head in range(tables.n_heads):
        attention, values = _head(tables, head, gathered, cosine, bias)
        if visible is not None:
            attention = attention * visible
        null = clamped_exp(tables.null_logit[head])
        total = attention.sum(0) + null  # [cand]
        parts = parts + attention * values * sign[:, head, None] / total
        null_part = null_part + null * tables.null_value[candidates, head] / total
    return tables.prior[candidates], null_part, parts


def visible_slots(
    cosine: Float[Tensor, "slot cand"], owner: Int[Tensor, " slot"], retrieved: RetrievedSlots
) -> Bool[Tensor, "slot cand"]:
    """Which slots each candidate reads. `owner` is in ascending order."""
    visible = (~retrieved.older)[:, None].repeat(1, cosine.shape[1])
    older = torch.nonzero(retrieved.older).squeeze(1)
    n_older = torch.unique_consecutive(owner[older], return_counts=True)[1].tolist()
    for rows in older.split(n_older):  # one memory's older slots
        similar = cosine[rows].detach()
        least = similar.topk(min(retrieved.n_kept, len(rows)), dim=0).values[-1]  # [cand]
        visible[rows] = similar >= least
    return visible


def clamped_exp(logits: Tensor) -> Tensor:
    """exp of the logits, clamped to +-LOGIT_LIMIT first: sums of these cannot overflow."""
    return logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).exp()


@dataclass(frozen=True, eq=False)
class _Gathered:
    """The projections of one call's candidates and slots, all heads side by side."""

    query: Float[Tensor, "cand width"]
    probe: Float[Tensor, "cand width"]
    key: Float[Tensor, "slot width"]
    value: Float[Tensor, "slot width"]

    @classmethod
    def of(cls, tables: MatchTables, slots: Int[Tensor, " slot"], candidates: Int[Tensor, " cand"]) -> _Gathered:
        return cls(
            query=tables.rows(tables.query, candidates),
            probe=tables.rows(tables.probe, candidates),
            key=tables.rows(tables.key, slots),
            value=tables.rows(tables.value, slots),
        )


def _head(
    tables: MatchTables,
    head: int,
    gathered: _Gathered,
    cosine: Float[Tensor, "slot cand"],
    bias: Float[Tensor, "slot head"],
) -> tuple[Float[Tensor, "slot cand"], Float[Tensor, "slot cand"]]:
    """Attention e_hj, not yet divided by its sum, and values x_hj of one head."""
    query = tables.head(gathered.query, head)
    probe = tables.head(gathered.probe, head)
    key = tables.head(gathered.key, head)
    value = tables.head(gathered.value, head)
    logits = torch.addcmul(key @ query.T, cosine, tables.alpha[head]) + bias[:, head, None]
    values = torch.addcmul(value @ probe.T, cosine, tables.gamma[head])
    return clamped_exp(logits), values
