"""The match of candidates with memories: one contract, a plain torch definition, and the backends that run it."""

from recmem.kernels.match_reference import (
    LOGIT_LIMIT,
    PER_ITEM,
    MatchTables,
    Searched,
    match_contributions,
    match_scores,
)
from recmem.kernels.pairs import Asked, Memories, PairScores, check_rows
from recmem.kernels.pairs_blocked import match_pairs_blocked

__all__ = [
    "LOGIT_LIMIT",
    "PER_ITEM",
    "Asked",
    "MatchTables",
    "Memories",
    "PairScores",
    "Searched",
    "match_contributions",
    "match_pairs",
    "match_scores",
]


def match_pairs(tables: MatchTables, memories: Memories, asked: Asked) -> PairScores:
    """Every memory's candidates scored, by the quickest backend that the tables' device has.

    Raises IndexError for a row outside the tables.
    """
    check_rows(tables, memories, asked)
    return match_pairs_blocked(tables, memories, asked)
