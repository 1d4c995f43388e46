"""The match of candidates with memories: its definition in plain torch, and the backends that compute it."""

from recmem.kernels.backends import Backend, match_pairs, why_not_numba, why_not_triton
from recmem.kernels.match_reference import (
    LOGIT_LIMIT,
    PER_ITEM,
    MatchTables,
    RetrievedSlots,
    match_contributions,
    match_scores,
)
from recmem.kernels.match_training import match_scores_training
from recmem.kernels.packed_tables import PackedTables
from recmem.kernels.pairs import Memories, PairCandidates, PairScores

__all__ = [
    "LOGIT_LIMIT",
    "PER_ITEM",
    "Backend",
    "MatchTables",
    "Memories",
    "PackedTables",
    "PairCandidates",
    "PairScores",
    "RetrievedSlots",
    "match_contributions",
    "match_pairs",
    "match_scores",
    "match_scores_training",
    "why_not_numba",
    "why_not_triton",
]
