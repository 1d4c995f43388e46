"""Ragged pairs: memories that each have candidates of their own. What `match_pairs` takes and returns."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recmem.kernels.match_reference import RetrievedSlots
from recmem.kernels.packed_tables import PackedTables

TOP = 3
"""Slots that `similarity_top3` is the mean of."""


@dataclass(frozen=True, eq=False)
class Memories:
    """Ragged memories: memory `m` holds the slots `offsets[m] .. offsets[m + 1]`, oldest first.

    What a slot adds to attention and values is looked up by `term`, since there are few ages and kinds. For tables on a
    GPU keep `bias` and `sign` there and all else on the host, where a request is put together (`pair_request.py`).
    """

    rows: Int[Tensor, " slot"]
    """Row of each slot's text in the tables."""
    offsets: Int[Tensor, " memory_and_one"]
    counted: Bool[Tensor, " slot"]
    """Slots that the similarities are taken over."""
    term: Int[Tensor, " slot"]
    """Row of each slot's `bias` and `sign`."""
    bias: Float[Tensor, "term head"]
    """Added to the attention's logits."""
    sign: Float[Tensor, "term head"]
    """Multiplies a slot's values."""
    retrieved: RetrievedSlots | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def to(self, device: torch.device) -> Memories:
        """The same, all on one device."""
        return replace(self, **{name: part.to(device) for name, part in vars(self).items() if part is not None})


@dataclass(frozen=True, eq=False)
class PairCandidates:
    """Candidates of each memory: `rows[offsets[m] : offsets[m + 1]]`, rows of the tables."""

    rows: Int[Tensor, " pair"]
    offsets: Int[Tensor, " memory_and_one"]

    def to(self, device: torch.device) -> PairCandidates:
        """The same on another device."""
        return PairCandidates(self.rows.to(device), self.offsets.to(device))


@dataclass(frozen=True, eq=False)
class PairScores:
    """What the match computes of every pair, float32."""

    columns: Float[Tensor, "output pair"]
    """All of it, in the order of `OUTPUTS`; the others are the rows of this."""
    score: Float[Tensor, " pair"]
    prior: Float[Tensor, " pair"]
    similarity_max: Float[Tensor, " pair"]
    similarity_mean: Float[Tensor, " pair"]
    similarity_top3: Float[Tensor, " pair"]
    similarity_last: Float[Tensor, " pair"]
    """Cosines over the counted slots; 0 where there are none."""

    @classmethod
    def of(cls, columns: Float[Tensor, "output pair"]) -> PairScores:
        """The rows of one tensor, in the order of `OUTPUTS`."""
        return cls(columns, **dict(zip(OUTPUTS, columns, strict=True)))

    @classmethod
    def zeros(cls, n_pairs: int, device: torch.device) -> PairScores:
        """Scores to be filled in."""
        return cls.of(torch.zeros((len(OUTPUTS), n_pairs), device=device))


OUTPUTS = tuple(field.name for field in fields(PairScores) if field.name != "columns")
"""What a kernel writes, in this order."""


def check_rows(tables: PackedTables, memories: Memories, candidates: PairCandidates) -> None:
    """Raises IndexError for a row outside the tables or the terms: kernels read addresses unchecked."""
    n_items = len(tables.prior)
    checked = [
        ("memories.rows", memories.rows, n_items, "Map ids to rows first."),
        ("memories.term", memories.term, len(memories.bias), "Give rows of bias and sign."),
        ("candidates.rows", candidates.rows, n_items, "Map ids to rows first."),
    ]
    checked = [inputs for inputs in checked if len(inputs[1])]
    if not checked:
        return
    # All bounds are fetched at once, so that a GPU is waited for once; on the host nothing is.
    bounds = torch.stack([bound for _, rows, _, _ in checked for bound in torch.aminmax(rows)]).tolist()
    for (name, _, n_rows, remedy), low, high in zip(checked, bounds[::2], bounds[1::2], strict=True):
        if low < 0 or high >= n_rows:
            raise IndexError(f"{name}: expected 0 .. {n_rows - 1}, got {low} .. {high}. {remedy}")
