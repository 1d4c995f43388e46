"""The match of ragged pairs beside what one would write by hand: gather, einsum, softmax over padded tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from benchmarks.timing import Row, compare
from recmem.kernels import (
    MatchTables,
    Memories,
    PackedTables,
    PairCandidates,
    PairScores,
    match_pairs,
    why_not_numba,
    why_not_triton,
)
from recmem.kernels.match_reference import LOGIT_LIMIT

Draw = Literal["uniform", "zipf"]
N_HEADS = 4
HEAD_DIM = 32
SHAPES = ((50, 100, 384), (50, 1000, 128), (100, 500, 384))
"""Slots, candidates, dimensions."""
CELLS = 4_000_000
"""Slots times candidates of all memories of a call on a CPU."""
GPU_CELLS = 200_000_000
"""The same on a GPU."""
N_ITEMS = 5_000
"""Rows of the tables on a CPU."""
GPU_ITEMS = 2_000_000
"""The same on a GPU: more than its caches hold."""
N_TERMS = 168
"""Kinds times ages of slots, as a match module has them."""
N_CHECKED = 200
"""Memories whose scores are compared with float64."""
TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 6e-2}
"""Largest error of all scores together, relative to their norm."""


def scorer_rows(device: torch.device) -> list[Row]:
    """Every shape with tables as they are served; recmem's scores are checked against float64 first."""
    return [row for shape in SHAPES for row in shape_rows(device, torch.float16, *shape)]


def shape_rows(
    device: torch.device,
    dtype: torch.dtype,
    n_slots: int,
    n_candidates: int,
    dim: int,
    *,
    draw: Draw = "uniform",
    compiled: bool = False,
) -> list[Row]:
    """One shape and type: by hand, by hand and compiled if `compiled`, and recmem's kernels.

    By hand float32 is used on a CPU, where torch multiplies shorter types slowly.
    """
    on_cpu = device.type == "cpu"
    n_items = N_ITEMS if on_cpu else GPU_ITEMS
    n_memories = (CELLS if on_cpu else GPU_CELLS) // (n_slots * n_candidates)
    tables = random_tables(n_items, dim, device)
    memories, candidates = random_pairs(n_items, n_memories, n_slots, n_candidates, device, draw)
    packed = PackedTables.of(tables, dtype)
    plain = tables if on_cpu or dtype == torch.float32 else _cast(tables, dtype)
    ways: dict[str, Callable[[], object]] = {
        "gather, einsum, softmax": lambda: naive(plain, memories, candidates, n_slots, n_candidates)
    }
    if compiled:
        fast = torch.compile(naive, dynamic=False)
        ways["the same, torch.compile"] = lambda: fast(plain, memories, candidates, n_slots, n_candidates)
    ways["recmem"] = scorer(packed, memories, candidates)
    if why_not_numba(packed) is None:
        ways["recmem, torch alone"] = lambda: match_pairs(packed, memories, candidates, backend="torch")
    ids = "" if on_cpu else f", {draw} ids"
    shape = f"{n_memories} memories, {n_slots} x {n_candidates} x {dim}, {str(dtype).removeprefix('torch.')}{ids}"
    with torch.inference_mode():
        few, few_candidates = _first(memories, candidates, min(n_memories, N_CHECKED), n_slots, n_candidates)
        expected = naive(_double(tables), _doubled(few), few_candidates, n_slots, n_candidates)[0]
        _check(match_pairs(packed, memories, candidates).score[: len(expected)], expected, TOLERANCE[dtype])
        amount = n_memories * n_slots * n_candidates
        return compare("match features", shape, ways, amount=amount, unit="scores/s")


def scorer(packed: PackedTables, memories: Memories, candidates: PairCandidates) -> Callable[[], PairScores]:
    """recmem's match of inputs that are where the tables are; on a GPU the kernel alone, without copies."""
    if why_not_triton(packed, memories) is not None:
        return lambda: match_pairs(packed, memories, candidates)
    from recmem.kernels.pairs_triton import request_of, score_request

    request = request_of(memories, candidates).to(packed.unit.device)
    return lambda: score_request(packed, request, memories.bias, memories.sign)


def naive(
    tables: MatchTables, memories: Memories, candidates: PairCandidates, n_slots: int, n_candidates: int
) -> tuple[Tensor, ...]:
    """Score and four similarities of memories of one length, in the plainest batched form."""
    slots = memories.rows.view(-1, n_slots)
    rows = candidates.rows.view(-1, n_candidates)

    def heads(table: Tensor, places: Tensor) -> Tensor:
        """[memory, place, head, head_dim]"""
        return table[places].unflatten(2, (tables.n_heads, -1))

    def per_slot(terms: Tensor) -> Tensor:
        """[memory, head, slot, 1]"""
        return terms[memories.term].view(-1, n_slots, tables.n_heads).transpose(1, 2)[..., None].to(cosine.dtype)

    cosine = torch.einsum("msd,mcd->msc", tables.unit[slots], tables.unit[rows])  # [memory, slot, cand]
    alpha = tables.alpha[:, None, None]
    gamma = tables.gamma[:, None, None]
    # [memory, head, slot, cand]
    logits = torch.einsum("mshd,mchd->mhsc", heads(tables.key, slots), heads(tables.query, rows))
    values = torch.einsum("mshd,mchd->mhsc", heads(tables.value, slots), heads(tables.probe, rows))
    attention = (logits + alpha * cosine[:, None] + per_slot(memories.bias)).clamp(-LOGIT_LIMIT, LOGIT_LIMIT).exp()
    values = values + gamma * cosine[:, None]
    null = tables.null_logit.exp()[:, None]
    total = attention.sum(2) + null
    parts = (attention * values * per_slot(memories.sign) / total[:, :, None]).sum(1)
    null_part = (null * tables.null_value[rows].transpose(1, 2) / total).sum(1)
    score = tables.prior[rows] + null_part + parts.sum(1)
    top = cosine.topk(3, dim=1).values
    pooled = (top[:, 0], cosine.mean(1), top.mean(1), cosine[:, -1])
    return (score.flatten(), *(part.flatten() for part in pooled))


def random_tables(n_items: int, dim: int, device: torch.device) -> MatchTables:
    """Random tables of the size that training gives them."""
    generator = torch.Generator(device).manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device) * 0.1

    wide = [draw(n_items, N_HEADS * HEAD_DIM) for _ in range(4)]
    unit = torch.nn.functional.normalize(draw(n_items, dim), dim=1)
    return MatchTables(unit, *wide, draw(n_items), draw(n_items, N_HEADS), *(draw(N_HEADS) for _ in range(3)))


def random_pairs(
    n_items: int, n_memories: int, n_slots: int, n_candidates: int, device: torch.device, draw: Draw = "uniform"
) -> tuple[Memories, PairCandidates]:
    """Memories and candidates of one length each, with item rows that are equally frequent or follow Zipf's law."""
    generator = torch.Generator(device).manual_seed(1)

    def rows(n: int) -> Tensor:
        if draw == "uniform":
            return torch.randint(n_items, (n_memories * n,), generator=generator, device=device)
        # Zipf's law with exponent 1: the logarithm of the rank is uniform.
        share = torch.rand(n_memories * n, generator=generator, device=device)
        return ((n_items + 1) ** share).long().clamp(1, n_items) - 1

    number = torch.arange(n_memories + 1, device=device)
    bias, sign = (torch.randn((N_TERMS, N_HEADS), generator=generator, device=device) for _ in range(2))
    counted = torch.ones(n_memories * n_slots, dtype=torch.bool, device=device)
    term = torch.randint(N_TERMS, (n_memories * n_slots,), generator=generator, device=device)
    memories = Memories(rows(n_slots), number * n_slots, counted, term, bias, sign)
    return memories, PairCandidates(rows(n_candidates), number * n_candidates)


def _cast(tables: MatchTables, dtype: torch.dtype) -> MatchTables:
    return MatchTables(**{name: part.to(dtype) for name, part in vars(tables).items()})


def _double(tables: MatchTables) -> MatchTables:
    return _cast(tables, torch.float64)


def _first(
    memories: Memories, candidates: PairCandidates, n_memories: int, n_slots: int, n_candidates: int
) -> tuple[Memories, PairCandidates]:
    slots = n_memories * n_slots
    pairs = n_memories * n_candidates
    of_slots = {name: getattr(memories, name)[:slots] for name in ("rows", "counted", "term")}
    some = replace(memories, offsets=memories.offsets[: n_memories + 1], **of_slots)
    return some, PairCandidates(candidates.rows[:pairs], candidates.offsets[: n_memories + 1])


def _doubled(memories: Memories) -> Memories:
    return replace(memories, bias=memories.bias.double(), sign=memories.sign.double())


def _check(found: Tensor, expected: Tensor, tolerance: float) -> None:
    error = float((found - expected).norm() / expected.norm())
    if not error < tolerance:
        raise ArithmeticError(
            f"scores: expected a relative error below {tolerance} to float64, got {error}. Not timed."
        )
