"""Untrained match columns: how near a candidate's text is to the texts of the memory, by cosine."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recmem.matching.user_memory import Kind, Slots

SIMILARITIES = ("similarity_max", "similarity_mean", "similarity_top3", "similarity_last")
TOP = 3


def similarities(
    unit: Float[Tensor, "item dim"], slots: Slots, candidates: Int[Tensor, " cand"]
) -> dict[str, Float[Tensor, "memory cand"]]:
    """Largest, mean, mean of the three largest, and newest slot's cosine. 0 for an empty memory.

    Slots that speak against an item are left out, unless a memory has no others.
    """
    shape = (slots.n_memories, len(candidates))
    kept = counted(slots)
    pooled = {name: unit.new_zeros(shape) for name in SIMILARITIES}
    vectors = unit[candidates]
    n_kept = torch.bincount(slots.owner[kept], minlength=slots.n_memories).tolist()
    for memory, rows in enumerate(torch.split(slots.rows[kept], n_kept)):
        if not len(rows):
            continue
        cosine = vectors @ unit[rows].T
        largest = cosine.topk(min(TOP, len(rows)), dim=1).values
        pooled["similarity_max"][memory] = largest[:, 0]
        pooled["similarity_top3"][memory] = largest.mean(1)
        pooled["similarity_mean"][memory] = cosine.mean(1)
        pooled["similarity_last"][memory] = cosine[:, -1]
    return pooled


def counted(slots: Slots) -> Bool[Tensor, " slot"]:
    """The slots that similarities are taken over: not those against, unless their memory has no others."""
    speaks_for = slots.kinds != Kind.AGAINST
    n_for = torch.bincount(slots.owner[speaks_for], minlength=slots.n_memories)
    return speaks_for | (n_for[slots.owner] == 0)
