"""Untrained match features: text similarities between a candidate and the memory, by cosine."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recmem.kernels.pairs import TOP
from recmem.matching import memory_kinds
from recmem.matching.user_memory import Slots

SIMILARITIES = ("similarity_max", "similarity_mean", "similarity_top3", "similarity_last")


def similarities(
    unit: Float[Tensor, "item dim"], slots: Slots, candidates: Int[Tensor, " cand"]
) -> dict[str, Float[Tensor, "memory cand"]]:
    """Largest, mean, mean of the three largest, and newest slot's cosine with each candidate. 0 for an empty memory.

    Only `compared_slots` count.
    """
    is_compared = compared_slots(slots)
    rows_of_memories = torch.split(slots.rows[is_compared], _slots_per_memory(slots, is_compared).tolist())
    shape = (slots.n_memories, len(candidates))
    pooled = {name: torch.zeros(shape, device=unit.device) for name in SIMILARITIES}
    # float32, as the sums of a cosine are exact there.
    candidate_vectors = unit[candidates].float()
    for memory, rows in enumerate(rows_of_memories):
        if not len(rows):
            continue
        cosine = candidate_vectors @ unit[rows].float().T  # [cand, slot]
        largest = cosine.topk(min(TOP, len(rows)), dim=1).values  # [cand, TOP], descending
        pooled["similarity_max"][memory] = largest[:, 0]
        pooled["similarity_top3"][memory] = largest.mean(1)
        pooled["similarity_mean"][memory] = cosine.mean(1)
        pooled["similarity_last"][memory] = cosine[:, -1]
    return pooled


def compared_slots(slots: Slots) -> Bool[Tensor, " slot"]:
    """The slots that similarities are taken over.

    They are events, and their kinds say so (by default all but negative ones). A memory that has events of none of
    these kinds is compared by all its events.
    """
    kinds = memory_kinds.KINDS
    is_event = torch.tensor([kind.matches is not None for kind in kinds]).to(slots.kinds.device)[slots.kinds]
    in_similarity = torch.tensor([kind.in_text_similarity for kind in kinds]).to(slots.kinds.device)[slots.kinds]
    is_compared = in_similarity & is_event
    n_compared = _slots_per_memory(slots, is_compared)
    return is_event & (is_compared | (n_compared[slots.memory_index] == 0))


def _slots_per_memory(slots: Slots, chosen: Bool[Tensor, " slot"]) -> Int[Tensor, " memory"]:
    """How many of the chosen slots each memory has."""
    return torch.bincount(slots.memory_index[chosen], minlength=slots.n_memories)
