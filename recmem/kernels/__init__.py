"""The match of candidates with memories: one contract, a plain torch definition, and the backends that run it."""

from recmem.kernels.match_reference import (
    LOGIT_LIMIT,
    PER_ITEM,
    MatchTables,
    Searched,
    match_contributions,
    match_scores,
)

__all__ = ["LOGIT_LIMIT", "PER_ITEM", "MatchTables", "Searched", "match_contributions", "match_scores"]
