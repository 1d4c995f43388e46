"""The match of candidates with memories: one contract, a plain torch definition, and the backends that run it."""

from importlib.util import find_spec
from typing import Literal, get_args

from recmem.kernels.match_reference import (
    LOGIT_LIMIT,
    PER_ITEM,
    MatchTables,
    Searched,
    match_contributions,
    match_scores,
)
from recmem.kernels.match_training import match_scores_training
from recmem.kernels.pairs import Asked, Memories, PackedTables, PairScores, check_rows, match_pairs_reference
from recmem.kernels.pairs_blocked import match_pairs_blocked

__all__ = [
    "LOGIT_LIMIT",
    "PER_ITEM",
    "Asked",
    "Backend",
    "MatchTables",
    "Memories",
    "PackedTables",
    "PairScores",
    "Searched",
    "match_contributions",
    "match_pairs",
    "match_scores",
    "match_scores_training",
    "why_not_triton",
]

Backend = Literal["auto", "blocked", "reference", "triton"]

_NO_TRITON = "triton is not installed: pip install 'recmem[triton]'"


def match_pairs(tables: PackedTables, memories: Memories, asked: Asked, *, backend: Backend = "auto") -> PairScores:
    """Every memory's candidates scored. "auto" takes Triton where it can run (see `why_not_triton`), else "blocked".

    Raises IndexError for a row outside the tables, ValueError for a backend that is none, and RuntimeError with the
    reason where a named "triton" cannot run.
    """
    if backend not in get_args(Backend):
        raise ValueError(
            f"backend: expected one of {', '.join(get_args(Backend))}, got {backend!r}. Name one of these."
        )
    check_rows(tables, memories, asked)
    if backend == "reference":
        return match_pairs_reference(tables, memories, asked)
    if backend == "blocked" or (backend == "auto" and why_not_triton(tables, memories) is not None):
        return match_pairs_blocked(tables, memories, asked)
    if find_spec("triton") is None:
        raise RuntimeError(f"backend: expected one that can run here, got triton: {_NO_TRITON}. Use 'auto'.")
    from recmem.kernels.pairs_triton import match_pairs_triton  # an extra, and slow to import

    return match_pairs_triton(tables, memories, asked)


def why_not_triton(tables: PackedTables, memories: Memories) -> str | None:
    """Why the Triton kernel cannot score these memories; None where it can."""
    if tables.unit.device.type != "cuda":
        return f"the tables are on {tables.unit.device.type}, and Triton needs CUDA"
    if find_spec("triton") is None:
        return _NO_TRITON
    from recmem.kernels.pairs_triton import why_not

    return why_not(tables.unit.device, memories)
