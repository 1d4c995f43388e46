"""Untrained match columns: how near a candidate's text is to the texts of the memory, by cosine."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recmem.memory import Kind, Slots

SIMILARITIES = ("similarity_max", "similarity_mean", "similarity_top3", "similarity_last")
TOP = 3


def similarities(
    unit: Float[Tensor, "item dim"], slots: Slots, candidates: Int[Tensor, " cand"]
) -> dict[str, Float[Tensor, "memory cand"]]:
    """Largest, mean, mean of the three largest, and newest slot's cosine. 0 for an empty memory.

    Slots that speak against an item are left out, unless a memory has no others.
    """
    shape = (slots.n_memories, len(candidates))
    pooled = {name: unit.new_zeros(shape) for name in SIMILARITIES}
    vectors = unit[candidates]
    for memory, rows in enumerate(_liked(slots)):
        if not len(rows):
            continue
        cosine = vectors @ unit[rows].T
        largest = cosine.topk(min(TOP, len(rows)), dim=1).values
        pooled["similarity_max"][memory] = largest[:, 0]
        pooled["similarity_top3"][memory] = largest.mean(1)
        pooled["similarity_mean"][memory] = cosine.mean(1)
        pooled["similarity_last"][memory] = cosine[:, -1]
    return pooled


def _liked(slots: Slots) -> list[Int[Tensor, " slot"]]:
    """Per memory the table rows of its slots, without those against."""
    counts = torch.bincount(slots.owner, minlength=slots.n_memories).tolist()
    pairs = zip(torch.split(slots.rows, counts), torch.split(slots.kinds, counts), strict=True)
    kept = ((rows, rows[kinds != Kind.AGAINST]) for rows, kinds in pairs)
    return [liked if len(liked) else rows for rows, liked in kept]
