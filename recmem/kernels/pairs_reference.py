"""The match of ragged pairs, defined: one memory after the other, in plain torch. Slow.

Every other backend gives the same numbers, within the tolerance of the tables' type.
"""

from __future__ import annotations

from jaxtyping import Int
from torch import Tensor

from recmem.kernels.match_reference import RetrievedSlots, match_contributions
from recmem.kernels.packed_tables import PackedTables
from recmem.kernels.pairs import TOP, Memories, PairCandidates, PairScores


def match_pairs_reference(packed: PackedTables, memories: Memories, candidates: PairCandidates) -> PairScores:
    """Scores and similarities of every memory's candidates."""
    tables = packed.unpacked()
    scores = PairScores.zeros(len(candidates.rows), candidates.rows.device)
    for memory in range(len(memories)):
        slots = _span(memories.offsets, memory)
        pairs = _span(candidates.offsets, memory)
        slot_rows = memories.rows[slots]
        term = memories.term[slots]
        cand_rows = candidates.rows[pairs]
        retrieved = None
        if memories.retrieved is not None:
            retrieved = RetrievedSlots(memories.retrieved.older[slots], memories.retrieved.n_kept)

        prior, null, parts = match_contributions(
            tables, slot_rows, memories.bias[term], memories.sign[term], cand_rows, retrieved
        )
        scores.score[pairs] = prior + null + parts.sum(0)
        scores.prior[pairs] = prior

        cosine = tables.unit[slot_rows[memories.counted[slots]]] @ tables.unit[cand_rows].T  # [counted slot, cand]
        if len(cosine):
            best = cosine.topk(min(TOP, len(cosine)), dim=0).values
            scores.similarity_max[pairs] = best[0]
            scores.similarity_top3[pairs] = best.mean(0)
            scores.similarity_mean[pairs] = cosine.mean(0)
            scores.similarity_last[pairs] = cosine[-1]
    return scores


def _span(offsets: Int[Tensor, " memory_and_one"], memory: int) -> slice:
    return slice(*offsets[memory : memory + 2].tolist())
