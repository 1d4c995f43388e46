"""The match module: learns from texts what past interactions say about a candidate.

It starts as the frozen cosine: the learned projections begin near zero and add to cos(candidate, slot), in the
attention and in what a slot says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from recmem.kernels import MatchTables, match_contributions, match_scores, match_scores_training
from recmem.matching.user_memory import N_AGES, Kind, Slots

INITIAL_ATTENTION = 10.0
"""Weight of the cosine in the attention at the start: near the maximum over the slots, yet with gradients for all."""
INITIAL_SCORE = 20.0
"""Weight of the cosine in the score at the start: spreads it enough for a softmax over candidates."""


@dataclass(frozen=True)
class MatchConfig:
    """The shape of the match module."""

    dim: int = 384
    """Width of the text vectors."""
    n_heads: int = 4
    """Ways of looking at a memory."""
    head_dim: int = 32
    """Width of q, k, p and v per head."""

    def __post_init__(self) -> None:
        for name in ("dim", "n_heads", "head_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}. Give a positive width.")


class MatchModule(nn.Module):
    """q, k, p, v, prior and null of each text vector, and what age and kind of a slot add."""

    def __init__(self, config: MatchConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        dim, heads, width = config.dim, config.n_heads, config.n_heads * config.head_dim
        small, unit = 0.02, 3 / math.sqrt(dim)
        self.query, self.probe = _weight((width, dim), small, generator), _weight((width, dim), small, generator)
        self.key, self.value = _weight((width, dim), unit, generator), _weight((width, dim), unit, generator)
        self.key_bias, self.value_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.prior = nn.Parameter(torch.zeros(dim))
        self.null_value, self.null_offset = nn.Parameter(torch.zeros(heads, dim)), nn.Parameter(torch.zeros(heads))
        self.null_logit = nn.Parameter(torch.zeros(heads))
        self.alpha = nn.Parameter(torch.full((heads,), INITIAL_ATTENTION))
        self.gamma = nn.Parameter(torch.full((heads,), INITIAL_SCORE / heads))
        self.age, self.kind = nn.Parameter(torch.zeros(N_AGES, heads)), nn.Parameter(torch.zeros(len(Kind), heads))
        self.sign = nn.Parameter(torch.ones(len(Kind), heads))

    def tables(
        self, unit: Float[Tensor, "item dim"], *, dropped: Float[Tensor, "item dim"] | None = None
    ) -> MatchTables:
        """Everything that scoring needs of each text. `dropped`, in training, is what the projections read instead."""
        vectors = unit if dropped is None else dropped
        scale = 1 / math.sqrt(self.config.head_dim)
        return MatchTables(
            unit=unit,
            query=vectors @ self.query.T * scale,
            key=vectors @ self.key.T + self.key_bias,
            probe=vectors @ self.probe.T * scale,
            value=vectors @ self.value.T + self.value_bias,
            prior=vectors @ self.prior,
            null_value=vectors @ self.null_value.T + self.null_offset,
            alpha=self.alpha,
            gamma=self.gamma,
            null_logit=self.null_logit,
        )

    def slot_terms(self, slots: Slots) -> tuple[Float[Tensor, "slot head"], Float[Tensor, "slot head"]]:
        """What age and kind add to a slot's attention, and the sign of what it says."""
        # index_select's backward adds in a fixed order; that of indexing does not, and a seed would give many modules.
        age, kind = self.age.index_select(0, slots.ages), self.kind.index_select(0, slots.kinds)
        return age + kind, self.sign.index_select(0, slots.kinds)

    def forward(
        self, tables: MatchTables, slots: Slots, candidates: Int[Tensor, " cand"]
    ) -> Float[Tensor, "memory cand"]:
        """The match score of every candidate (a row of the tables) for every memory."""
        bias, sign = self.slot_terms(slots)
        score = match_scores_training if self.training else match_scores
        return score(tables, slots.rows, slots.owner, bias, sign, candidates, slots.n_memories, slots.retrieved)

    def contributions(
        self, tables: MatchTables, slots: Slots, candidates: Int[Tensor, " cand"]
    ) -> tuple[Float[Tensor, " cand"], Float[Tensor, " cand"], Float[Tensor, "slot cand"]]:
        """Prior, null part and each slot's part of the scores of one memory; they sum to the score."""
        bias, sign = self.slot_terms(slots)
        return match_contributions(tables, slots.rows, bias, sign, candidates, slots.retrieved)


def _weight(shape: tuple[int, int], std: float, generator: torch.Generator | None) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape, generator=generator) * std)
