"""Random tables, memories and candidates that the kernels' tests share."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from hypothesis import strategies as st

from recmem.kernels.match_reference import MatchTables
from recmem.kernels.packed_tables import PackedTables
from recmem.kernels.pairs import Memories, PairCandidates
from recmem.text.unit_vectors import exact_units

Part = TypeVar("Part", MatchTables, PackedTables, Memories, PairCandidates)

N_TEXTS = 9
N_TERMS = 5
ROWS = st.integers(0, N_TEXTS - 1)
"""Rows of the tables."""
CASES = st.lists(st.tuples(st.lists(ROWS, max_size=6), st.lists(ROWS, max_size=5)), min_size=1, max_size=5)
"""Per memory: its slots and its candidates."""
SEEDS = st.integers(0, 1000)


def random_tables(seed: int, n_heads: int = 2, head_dim: int = 3, dim: int = 6) -> MatchTables:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    wide = [draw(N_TEXTS, n_heads * head_dim) for _ in range(4)]
    return MatchTables(
        exact_units(draw(N_TEXTS, dim)),
        *wide,
        prior=draw(N_TEXTS),
        null_value=draw(N_TEXTS, n_heads),
        alpha=draw(n_heads),
        gamma=draw(n_heads),
        null_logit=draw(n_heads),
    )


def moved(part: Part, device: torch.device) -> Part:
    """The same tables, memories or candidates on a device."""
    tensors = {name: value for name, value in vars(part).items() if isinstance(value, torch.Tensor)}
    if isinstance(part, Memories) and part.retrieved is not None:
        part = replace(part, retrieved=part.retrieved.to(device))
    return replace(part, **{name: tensor.to(device) for name, tensor in tensors.items()})


def flat(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor([number for row in rows for number in row], dtype=torch.int64)


def offsets_of(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor([0, *np.cumsum([len(row) for row in rows])], dtype=torch.int64)


def inputs(case: list[tuple[list[int], list[int]]], seed: int, n_heads: int = 2) -> tuple[Memories, PairCandidates]:
    """Memories and their candidates of one case, with random bias and sign; most slots are counted."""
    slots = [slots for slots, _ in case]
    candidates = [candidates for _, candidates in case]
    n_slots = sum(map(len, slots))
    generator = torch.Generator().manual_seed(seed + 1)
    return (
        Memories(
            rows=flat(slots),
            offsets=offsets_of(slots),
            counted=torch.rand(n_slots, generator=generator) < 0.7,
            term=torch.randint(N_TERMS, (n_slots,), generator=generator),
            bias=torch.randn((N_TERMS, n_heads), generator=generator),
            sign=torch.randn((N_TERMS, n_heads), generator=generator),
        ),
        PairCandidates(flat(candidates), offsets_of(candidates)),
    )
