"""The match module: learns from texts what a user's past events say about a candidate.

Before training it scores by text similarity: the learned projections start near zero and add to cos(candidate, slot),
in the attention and in a slot's value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad

from feature_store.arrays import BoolArray
from feature_store.settings import check_settings, setting
from recmem.kernels import MatchTables, match_scores, match_scores_training
from recmem.kernels.fixed_order import rows_of
from recmem.matching import memory_kinds
from recmem.matching.user_memory import N_AGES, Slots

INITIAL_ATTENTION = 10.0
"""Initial weight of the cosine in the attention: close to a maximum over the slots, yet every slot gets a gradient."""
INITIAL_SCORE = 20.0
"""Initial weight of the cosine in the score: scores vary enough for a softmax over candidates."""
NEAR_ZERO = 0.02
"""Standard deviation of the initial query and probe projections."""
INITIAL_ROW_LENGTH = 3.0
"""Approximate length of a row of the initial key and value projections."""

LONGEST_ROW = 30_000.0
"""Largest length of a projection's row plus its bias. A product with a vector of length 1, or 1.4 where a tuned
encoder's stands beside the frozen one's, then fits into float16, in which it is served: that ends at 65,504. Training
starts with rows of a length of about `INITIAL_ROW_LENGTH`."""


@dataclass(frozen=True)
class MatchConfig:
    """The shape of the match module."""

    dim: int = setting(384, low=1)
    """Length of a text vector."""
    n_heads: int = setting(4, low=1, high=1024)
    """Number of attention heads."""
    head_dim: int = setting(32, low=1, high=1024)
    """Length of q, k, p and v in each head."""
    similarity_dim: int | None = None
    """How many of a vector's numbers, the first, are the frozen encoder's, which cosines are of; None: all of them. The
    others are the tuned encoder's. Projections read both."""

    def __post_init__(self) -> None:
        check_settings(self, self._conflicts)

    def _conflicts(self) -> Iterator[str]:
        if self.similarity_dim is not None and not 1 <= self.similarity_dim <= self.dim:
            yield (
                f"similarity_dim: expected a number from 1 to dim ({self.dim}), got {self.similarity_dim}. "
                "Give the length of the frozen encoder's vectors."
            )


@dataclass(frozen=True)
class TextRoles:
    """Which of some texts are candidates and which are in memories, where the texts are sorted by role."""

    n_candidates: int
    """How many texts, from the first on, are candidates."""
    first_remembered: int
    """The texts from this one on are in memories."""


class MatchModule(nn.Module):
    """The projections q, k, p, v, prior and null of a text vector, and the terms for a slot's age and kind."""

    def __init__(
        self, config: MatchConfig, generator: torch.Generator | None = None, *, n_kinds: int | None = None
    ) -> None:
        """`n_kinds`: of the memory slots, by default all of `recmem.matching.memory_kinds.KINDS`."""
        super().__init__()
        self.config = config
        dim = config.dim
        n_heads = config.n_heads
        width = n_heads * config.head_dim
        n_kinds = len(memory_kinds.KINDS) if n_kinds is None else n_kinds
        std = INITIAL_ROW_LENGTH / math.sqrt(dim)
        self.query = _weight((width, dim), NEAR_ZERO, generator)
        self.probe = _weight((width, dim), NEAR_ZERO, generator)
        self.key = _weight((width, dim), std, generator)
        self.value = _weight((width, dim), std, generator)
        self.key_bias = nn.Parameter(torch.zeros(width))
        self.value_bias = nn.Parameter(torch.zeros(width))
        self.prior = nn.Parameter(torch.zeros(dim))
        self.null_value = nn.Parameter(torch.zeros(n_heads, dim))
        self.null_offset = nn.Parameter(torch.zeros(n_heads))
        self.null_logit = nn.Parameter(torch.zeros(n_heads))
        self.alpha = nn.Parameter(torch.full((n_heads,), INITIAL_ATTENTION))
        self.gamma = nn.Parameter(torch.full((n_heads,), INITIAL_SCORE / n_heads))
        self.age = nn.Parameter(torch.zeros(N_AGES, n_heads))
        self.kind = nn.Parameter(torch.zeros(n_kinds, n_heads))
        self.sign = nn.Parameter(torch.ones(n_kinds, n_heads))

    @classmethod
    def from_weights(cls, config: MatchConfig, weights: Mapping[str, Tensor]) -> MatchModule:
        """The module with the weights of another one's `state_dict`.

        Raises ValueError, before it allocates more than a few times their size, if the weights have other names, types
        or shapes than the configuration says, are not finite or are too large (`LONGEST_ROW`), or have more memory
        kinds than `recmem.matching.memory_kinds.KINDS`, or too few for events. Kinds that were added since stay
        unknown.
        """
        missing = sorted({"query", "kind"} - set(weights))
        if missing:
            raise ValueError(f"no weights {', '.join(missing)}")
        expected = (config.n_heads * config.head_dim, config.dim)
        got = tuple(weights["query"].shape)
        if got != expected:
            raise ValueError(f"match.query: expected weights of shape {expected}, got {got}. Train again.")
        names = ", ".join(kind.name for kind in memory_kinds.KINDS)
        n_kinds = weights["kind"].shape[0] if weights["kind"].ndim else 0
        if not memory_kinds.n_kinds_of_events() <= n_kinds <= len(memory_kinds.KINDS):
            raise ValueError(
                f"match.kind: expected weights of {len(memory_kinds.KINDS)} memory kinds ({names}), got {n_kinds}. "
                "Train again after adding or removing a kind."
            )
        # The check of `query` bounds the module's size by that of the given weights. Not on torch's device "meta":
        # drawing weights there imports its compiler, seconds of every start.
        module = cls(config, n_kinds=n_kinds)
        _check_weights(weights, module.state_dict())
        module.load_state_dict(weights)
        return module

    @property
    def n_kinds(self) -> int:
        """Number of memory kinds that it has weights of."""
        return len(self.kind)

    def require_kinds(self, holds_kind: BoolArray) -> None:
        """Raises ValueError if a memory holds kinds of slots, see `MemoryConfig.holds_kind`, that it has no weights of.

        Kinds of events have been checked already, whether a memory holds them or not.
        """
        kinds = zip(memory_kinds.KINDS, holds_kind.tolist(), strict=True)
        lacking = [kind.name for kind, is_held in list(kinds)[self.n_kinds :] if is_held]
        if lacking:
            raise ValueError(
                f"match.kind: expected weights of the memory's kind {lacking[0]!r}, got those of {self.n_kinds} other "
                "kinds. Train again."
            )

    def tables(
        self,
        unit: Float[Tensor, "item dim"],
        *,
        dropped: Float[Tensor, "item dim"] | None = None,
        roles: TextRoles | None = None,
    ) -> MatchTables:
        """Everything that scoring needs of each text.

        `dropped`: the vectors after dropout, which the projections read in training; cosines are always of `unit`.
        `roles`: which texts are candidates and which are in memories, by default all are both. What a text's role does
        not need is zero.
        """
        vectors = unit if dropped is None else dropped
        n_texts = len(vectors)
        roles = roles or TextRoles(n_texts, 0)
        candidates = vectors[: roles.n_candidates]
        remembered = vectors[roles.first_remembered :]
        n_before = roles.first_remembered
        n_after = n_texts - roles.n_candidates
        scale = 1 / math.sqrt(self.config.head_dim)
        return MatchTables(
            unit=unit[:, : self.config.similarity_dim],
            query=_padded(candidates @ self.query.T * scale, after=n_after),
            key=_padded(remembered @ self.key.T + self.key_bias, before=n_before),
            probe=_padded(candidates @ self.probe.T * scale, after=n_after),
            value=_padded(remembered @ self.value.T + self.value_bias, before=n_before),
            prior=_padded(candidates @ self.prior, after=n_after),
            null_value=_padded(candidates @ self.null_value.T + self.null_offset, after=n_after),
            alpha=self.alpha,
            gamma=self.gamma,
            null_logit=self.null_logit,
        )

    def slot_terms(self, slots: Slots) -> tuple[Float[Tensor, "slot head"], Float[Tensor, "slot head"]]:
        """Attention bias of each slot, from its age and kind, and the sign that its value is multiplied by."""
        age = rows_of(self.age, slots.ages)
        kind = rows_of(self.kind, slots.kinds)
        sign = rows_of(self.sign, slots.kinds)
        return age + kind, sign

    def terms(self) -> tuple[Float[Tensor, "term head"], Float[Tensor, "term head"]]:
        """Bias and sign of every kind and age, where `term_of` finds those that `slot_terms` gives a slot."""
        bias = self.age + self.kind[:, None]  # [kind, age, head]
        sign = self.sign[:, None].expand_as(bias)
        return bias.flatten(0, 1), sign.flatten(0, 1)

    def forward(
        self, tables: MatchTables, slots: Slots, candidates: Int[Tensor, " cand"]
    ) -> Float[Tensor, "memory cand"]:
        """The match score of every candidate (a row of the tables) for every memory."""
        bias, sign = self.slot_terms(slots)
        score = match_scores_training if self.training else match_scores
        return score(tables, slots.rows, slots.memory_index, bias, sign, candidates, slots.n_memories, slots.retrieved)


def _padded(rows: Tensor, *, before: int = 0, after: int = 0) -> Tensor:
    """The rows with so many rows of zeros before and after them."""
    if not before and not after:
        return rows
    of_other_axes = [0, 0] * (rows.ndim - 1)
    return pad(rows, [*of_other_axes, before, after])


def term_of(slots: Slots) -> Int[Tensor, " slot"]:
    """Each slot's row in `MatchModule.terms`."""
    return slots.kinds * N_AGES + slots.ages


def _check_weights(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    if set(weights) != set(expected):
        names = ", ".join(sorted(set(weights) ^ set(expected)))[:200]
        raise ValueError(
            f"match: expected weights {', '.join(expected)}, got {names!r} missing or too many. Train again."
        )
    for name, weight in weights.items():
        shape = tuple(expected[name].shape)
        if tuple(weight.shape) != shape or weight.dtype != torch.float32:
            got = f"{weight.dtype}{list(weight.shape)}"
            raise ValueError(f"match.{name}: expected float32 weights of shape {shape}, got {got}. Train again.")
        if not bool(torch.isfinite(weight).all()):
            raise ValueError(f"match.{name}: expected finite weights, got NaN or infinity. Train again.")
    for name in ("query", "probe", "key", "value"):
        lengths = weights[name].double().norm(dim=1)
        if f"{name}_bias" in weights:
            lengths += weights[f"{name}_bias"].abs()
        longest = float(lengths.max())
        if longest > LONGEST_ROW:
            raise ValueError(
                f"match.{name}: expected rows of a length up to {LONGEST_ROW:,.0f}, got {longest:.3g}. "
                "Train again, with a smaller match.learning_rate."
            )


def _weight(shape: tuple[int, int], std: float, generator: torch.Generator | None) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape, generator=generator) * std)
