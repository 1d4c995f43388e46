"""Untrained match features: text similarities between a candidate and the memory, by cosine, and what they compare.

The largest, the mean, the mean of the three largest, and the newest slot's cosine with the candidate; 0 for an empty
memory. `recmem.kernels.match_pairs` computes them beside the match.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool

from recmem.matching import memory_kinds
from recmem.matching.user_memory import Slots

SIMILARITIES = ("similarity_max", "similarity_mean", "similarity_top3", "similarity_last")


def compared_slots(slots: Slots) -> Bool[torch.Tensor, " slot"]:
    """The slots that similarities are taken over.

    They are events, and their kinds say so (by default all but negative ones). A memory that has events of none of
    these kinds is compared by all its events.
    """
    kinds = memory_kinds.KINDS
    is_event = torch.tensor([kind.matches is not None for kind in kinds]).to(slots.kinds.device)[slots.kinds]
    in_similarity = torch.tensor([kind.in_text_similarity for kind in kinds]).to(slots.kinds.device)[slots.kinds]
    is_compared = in_similarity & is_event
    n_compared = torch.bincount(slots.memory_index[is_compared], minlength=slots.n_memories)
    return is_event & (is_compared | (n_compared[slots.memory_index] == 0))
