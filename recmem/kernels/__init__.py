"""The match of candidates with memories: one contract, a plain torch definition, and the backends that run it."""

from importlib.util import find_spec
from platform import machine
from typing import Literal, get_args

import torch

from recmem.kernels.match_reference import (
    LOGIT_LIMIT,
    PER_ITEM,
    MatchTables,
    RetrievedSlots,
    match_contributions,
    match_scores,
)
from recmem.kernels.match_training import match_scores_training
from recmem.kernels.pairs import Memories, PackedTables, PairCandidates, PairScores, check_rows, match_pairs_reference
from recmem.kernels.pairs_torch import match_pairs_torch

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

Backend = Literal["auto", "numba", "torch", "reference", "triton"]

_NOT_INSTALLED = "{0} is not installed: pip install 'recmem[{0}]'"


def match_pairs(
    tables: PackedTables, memories: Memories, asked: PairCandidates, *, backend: Backend = "auto"
) -> PairScores:
    """Every memory's candidates scored.

    "auto" takes Triton where it can run (see `why_not_triton`), else numba where it can (`why_not_numba`), else
    "torch". Raises IndexError for a row outside the tables, ValueError for a backend that is none, and RuntimeError
    with the reason where a named "triton" or "numba" cannot run.
    """
    if backend not in get_args(Backend):
        raise ValueError(
            f"backend: expected one of {', '.join(get_args(Backend))}, got {backend!r}. Name one of these."
        )
    check_rows(tables, memories, asked)
    chosen = _quickest(tables, memories) if backend == "auto" else backend
    if chosen == "reference":
        return match_pairs_reference(tables, memories, asked)
    if chosen == "torch":
        return match_pairs_torch(tables, memories, asked)
    if find_spec(chosen) is None:
        what = _NOT_INSTALLED.format(chosen)
        raise RuntimeError(f"backend: expected one that can run here, got {chosen}: {what}. Use 'auto'.")
    # Extras, and slow to import.
    if chosen == "numba":
        from recmem.kernels.pairs_numba import match_pairs_numba

        return match_pairs_numba(tables, memories, asked)
    from recmem.kernels.pairs_triton import match_pairs_triton

    return match_pairs_triton(tables, memories, asked)


def why_not_triton(tables: PackedTables, memories: Memories) -> str | None:
    """Why the Triton kernel cannot score these memories; None where it can."""
    if tables.unit.device.type != "cuda":
        return f"the tables are on {tables.unit.device.type}, and Triton needs CUDA"
    if find_spec("triton") is None:
        return _NOT_INSTALLED.format("triton")
    from recmem.kernels.pairs_triton import why_not

    return why_not(tables.unit.device, memories)


def why_not_numba(tables: PackedTables) -> str | None:
    """Why numba cannot score with these tables; None where it can."""
    if tables.unit.device.type != "cpu":
        return f"the tables are on {tables.unit.device.type}, and numba compiles for the CPU"
    if tables.unit.dtype != torch.float32:
        return f"the tables are {str(tables.unit.dtype).removeprefix('torch.')}, and numba reads float32"
    if machine() in ("x86_64", "AMD64") and torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        return "the processor has no AVX2, without which torch alone is quicker"
    return None if find_spec("numba") else _NOT_INSTALLED.format("numba")


def _quickest(tables: PackedTables, memories: Memories) -> Literal["triton", "numba", "torch"]:
    if why_not_triton(tables, memories) is None:
        return "triton"
    return "numba" if why_not_numba(tables) is None else "torch"
