"""Which backend computes the match of ragged pairs: Triton on a GPU, numba on a CPU, else torch.

| backend   | file                 | runs on                                        | refused by        |
|-----------|----------------------|------------------------------------------------|-------------------|
| triton    | `pairs_triton.py`    | CUDA, no retrieved slots, head_dim to 128      | `why_not_triton`  |
| numba     | `pairs_numba.py`     | a CPU, float16 tables                          | `why_not_numba`   |
| torch     | `pairs_torch.py`     | everywhere                                     |                   |
| reference | `pairs_reference.py` | everywhere, slowly: the definition             |                   |

Exact search chooses its own backend (`top_k.py`).
"""

from __future__ import annotations

from importlib.util import find_spec
from platform import machine
from typing import Literal, get_args

import torch

from feature_store.extras import install_command
from recmem.kernels.packed_tables import PackedTables
from recmem.kernels.pairs import Memories, PairCandidates, PairScores, check_rows
from recmem.kernels.pairs_reference import match_pairs_reference
from recmem.kernels.pairs_torch import match_pairs_torch

Backend = Literal["auto", "numba", "torch", "reference", "triton"]


def match_pairs(
    tables: PackedTables, memories: Memories, candidates: PairCandidates, *, backend: Backend = "auto"
) -> PairScores:
    """Scores and similarities of every memory's candidates, on the tables' device, whether the others are there or not.

    "auto" takes Triton where it can run (`why_not_triton`), else numba where it can (`why_not_numba`), else torch.
    Raises IndexError for a row outside the tables, ValueError for an unknown backend, and RuntimeError with the reason
    if a named backend cannot run.
    """
    if backend not in get_args(Backend):
        raise ValueError(f"backend: expected one of {', '.join(get_args(Backend))}, got {backend!r}. Use one of these.")
    check_rows(tables, memories, candidates)
    chosen = _fastest(tables, memories) if backend == "auto" else backend
    if chosen in ("reference", "torch"):
        match = match_pairs_reference if chosen == "reference" else match_pairs_torch
        device = tables.unit.device
        return match(tables, memories.to(device), candidates.to(device))
    check_installed(chosen)
    # Optional packages, and slow to import.
    if chosen == "numba":
        from recmem.kernels.pairs_numba import match_pairs_numba

        return match_pairs_numba(tables, memories, candidates)
    from recmem.kernels.pairs_triton import match_pairs_triton

    return match_pairs_triton(tables, memories, candidates)


def why_not_triton(tables: PackedTables, memories: Memories) -> str | None:
    """Why the Triton kernel cannot score these memories; None if it can."""
    if tables.unit.device.type != "cuda":
        return f"the tables are on {tables.unit.device.type}, and Triton needs CUDA"
    missing = why_not_installed("triton")
    if missing is not None:
        return missing
    from recmem.kernels.pairs_triton import why_not

    return why_not(tables, memories)


def why_not_numba(tables: PackedTables) -> str | None:
    """Why numba cannot score with these tables; None if it can."""
    if tables.unit.device.type != "cpu":
        return f"the tables are on {tables.unit.device.type}, and numba compiles for the CPU"
    if tables.unit.dtype != torch.float16:
        return f"the tables are {str(tables.unit.dtype).removeprefix('torch.')}, and numba reads float16"
    if lacks_avx2():
        return "the processor has no AVX2, and without it torch is faster"
    return why_not_installed("numba")


def lacks_avx2() -> bool:
    """Whether this is an x86-64 processor without AVX2, or one that torch was told to treat as such."""
    return machine() in ("x86_64", "AMD64") and torch.backends.cpu.get_cpu_capability() == "DEFAULT"


def check_installed(backend: str) -> None:
    """Raises RuntimeError if the package of the backend's name is not installed."""
    if find_spec(backend) is None:
        raise RuntimeError(
            f"backend: expected an available backend, got {backend!r}, which is not installed. "
            f"Run {install_command(backend)}, or use 'auto'."
        )


def why_not_installed(package: str) -> str | None:
    """That an optional package is missing, and how to install it; None if it is installed."""
    return None if find_spec(package) else f"{package} is not installed: {install_command(package)}"


def _fastest(tables: PackedTables, memories: Memories) -> Literal["triton", "numba", "torch"]:
    if why_not_triton(tables, memories) is None:
        return "triton"
    return "numba" if why_not_numba(tables) is None else "torch"
