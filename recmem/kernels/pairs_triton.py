"""The match of ragged pairs as one Triton kernel: gather, attend, sum; nothing of candidates x slots leaves the chip.

One program scores up to `BLOCK_CAND` candidates of one memory. It walks over the memory's slots in blocks: the cosines
of a block are one product over `dim`, logits and values of a head two products over the head's width, and what remains
of a block are sums over its slots, per candidate and head. No running maximum is kept, for the logits are clamped. A
second walk, once the totals are known, finds the slot that contributes most.

Pointers: `unit` [item, dim], `slot_side` and `cand_side` [item, 2 * n_heads * head_dim], all of one type; `scales`
[item, 3] for int8 tables; `prior` [item], `null_value` [item, n_heads], `alpha`, `gamma`, `null_logit` [n_heads];
`slot_rows` and `counted` [slot], `bias` and `sign` [slot, n_heads]; `asked` [pair]; `tiles` [program, 2]: memory and
first pair. Rows are int64 and have been checked against the tables. Products accumulate in float32.

Pointers have no Python type, so the kernels are left out of type checks; `match_pairs_triton` checks.

Limits: head_dim and the number of heads are padded to powers of two of at least 16 and 1.
"""

from __future__ import annotations

import os
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Int
from torch import Tensor

from recmem.kernels.match_reference import LOGIT_LIMIT
from recmem.kernels.pairs import Memories, PackedTables, PairCandidates, PairScores

BLOCK_CAND, BLOCK_SLOT, BLOCK_DIM = 64, 32, 64
"""Candidates of a program; slots and dimensions that it takes at a time."""
OUTPUTS = ("score", "prior", "null", "similarity_max", "similarity_mean", "similarity_top3", "similarity_last")
LOWEST = tl.constexpr(-3.0e38)
LIMIT = tl.constexpr(LOGIT_LIMIT)


def why_not(device: torch.device, memories: Memories) -> str | None:
    """Why this backend cannot score these memories on the device; None where it can."""
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"the tables are on {device.type}: Triton needs a CUDA device"
    if memories.retrieved is not None:
        return "the memories hold slots that are retrieved for each candidate: only the torch backends search"
    return None


def match_pairs_triton(tables: PackedTables, memories: Memories, asked: PairCandidates) -> PairScores:
    """See `match_pairs_reference`. Raises RuntimeError, with the reason, where the kernel cannot run."""
    reason = why_not(tables.unit.device, memories)
    if reason is not None:
        raise RuntimeError(f"backend: expected one that can run here, got triton: {reason}. Use 'auto' or 'torch'.")
    if not len(asked.rows):
        return PairScores.empty(0, asked.rows.device)
    tiles = _tiles(asked)
    heads = tables.n_heads
    head_dim = tables.slot_side.shape[1] // (2 * heads)
    outputs = torch.empty((len(OUTPUTS), len(asked.rows)), device=asked.rows.device)
    strongest = torch.empty(len(asked.rows), dtype=torch.int64, device=asked.rows.device)
    _score[(len(tiles),)](
        tables.unit,
        tables.slot_side,
        tables.cand_side,
        tables.unit if tables.scales is None else tables.scales,
        tables.prior,
        tables.null_value,
        tables.alpha,
        tables.gamma,
        tables.null_logit,
        memories.rows,
        memories.offsets,
        memories.counted,
        memories.bias.float().contiguous(),
        memories.sign.float().contiguous(),
        asked.rows,
        asked.offsets,
        tiles,
        outputs,
        strongest,
        len(asked.rows),
        tables.unit.shape[1],
        head_dim,
        HEADS=heads,
        HEADS_PADDED=triton.next_power_of_2(heads),
        HEAD_DIM=max(triton.next_power_of_2(head_dim), 16),
        IS_INT8=tables.scales is not None,
        # The interpreter gets bf16 products wrong, in silence; its own numbers are float32.
        UPCAST=os.environ.get("TRITON_INTERPRET") == "1" or tables.unit.dtype == torch.float32,
        BLOCK_CAND=BLOCK_CAND,
        BLOCK_SLOT=BLOCK_SLOT,
        BLOCK_DIM=BLOCK_DIM,
    )
    return PairScores(**dict(zip(OUTPUTS, outputs, strict=True)), strongest=strongest)


def _tiles(asked: PairCandidates) -> Int[Tensor, "tile 2"]:
    """Memory and first pair of every program: as many as there can be, so that nothing waits for their number.

    Those that there is nothing for begin after the last pair.
    """
    n_pairs, total = asked.offsets.diff(), len(asked.rows)
    ends = ((n_pairs + BLOCK_CAND - 1) // BLOCK_CAND).cumsum(0)
    program = torch.arange(total // BLOCK_CAND + len(n_pairs), device=n_pairs.device)
    memory = torch.searchsorted(ends, program, right=True).clamp(max=len(n_pairs) - 1)
    number = program - (ends - ends.diff(prepend=ends.new_zeros(1)))[memory]
    first = torch.where(program < ends[-1], asked.offsets[memory] + number * BLOCK_CAND, total)
    return torch.stack([memory, first], dim=1)


@triton.jit
@no_type_check
def _product(
    left,
    left_rows,
    left_mask,
    left_width,
    left_begin,
    right,
    right_rows,
    right_mask,
    right_width,
    right_begin,
    n_dims,
    IS_INT8: tl.constexpr,
    UPCAST: tl.constexpr,
    BLOCK: tl.constexpr,
    acc,
):
    """acc + left[left_rows, begin : begin + n_dims] @ right[right_rows, begin : begin + n_dims].T in float32."""
    for first in range(0, n_dims, BLOCK):
        dims = first + tl.arange(0, BLOCK)
        inside = dims < n_dims
        a = tl.load(
            left + left_rows[:, None] * left_width + left_begin + dims[None, :],
            mask=left_mask[:, None] & inside[None, :],
            other=0,
        )
        b = tl.load(
            right + right_rows[None, :] * right_width + right_begin + dims[:, None],
            mask=right_mask[None, :] & inside[:, None],
            other=0,
        )
        if UPCAST:
            acc += tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="ieee")
        elif IS_INT8:  # Whole numbers to 127 are exact in bf16, and their sums in float32.
            acc += tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16))
        else:
            acc += tl.dot(a, b)
    return acc


@triton.jit
@no_type_check
def _head(
    slot_side,
    cand_side,
    rows,
    is_slot,
    cand,
    is_pair,
    cosine,
    wide_scale,
    bias,
    sign,
    alpha,
    gamma,
    slot,
    head_dim,
    head: tl.constexpr,
    HEADS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    IS_INT8: tl.constexpr,
    UPCAST: tl.constexpr,
    zeros,
):
    """Attention (0 where there is no slot) and what the slots say, signed, of one head: [slot, cand] each."""
    width = 2 * HEADS * head_dim
    look = _product(
        slot_side, rows, is_slot, width, head * head_dim,
        cand_side, cand, is_pair, width, head * head_dim,
        head_dim, IS_INT8, UPCAST, HEAD_DIM, zeros,
    )  # fmt: skip
    told = _product(
        slot_side, rows, is_slot, width, (HEADS + head) * head_dim,
        cand_side, cand, is_pair, width, (HEADS + head) * head_dim,
        head_dim, IS_INT8, UPCAST, HEAD_DIM, zeros,
    )  # fmt: skip
    bias_of = tl.load(bias + slot * HEADS + head, mask=is_slot, other=0.0)
    sign_of = tl.load(sign + slot * HEADS + head, mask=is_slot, other=0.0)
    logit = look * wide_scale + tl.load(alpha + head) * cosine + bias_of[:, None]
    attention = tl.exp(tl.minimum(tl.maximum(logit, -LIMIT), LIMIT))
    attention = tl.where(is_slot[:, None], attention, 0.0)
    says = (told * wide_scale + tl.load(gamma + head) * cosine) * sign_of[:, None]
    return attention, says


@triton.jit
@no_type_check
def _score(
    unit,
    slot_side,
    cand_side,
    scales,
    prior,
    null_value,
    alpha,
    gamma,
    null_logit,
    slot_rows,
    offsets,
    counted,
    bias,
    sign,
    asked,
    asked_offsets,
    tiles,
    outputs,
    strongest,
    n_pairs,
    dim,
    head_dim,
    HEADS: tl.constexpr,
    HEADS_PADDED: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    IS_INT8: tl.constexpr,
    UPCAST: tl.constexpr,
    BLOCK_CAND: tl.constexpr,
    BLOCK_SLOT: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
):
    program = tl.program_id(0)
    memory = tl.load(tiles + 2 * program)
    first_pair = tl.load(tiles + 2 * program + 1)
    if first_pair >= n_pairs:
        return
    pair = first_pair + tl.arange(0, BLOCK_CAND)
    is_pair = pair < tl.load(asked_offsets + memory + 1)
    cand = tl.load(asked + pair, mask=is_pair, other=0)
    first, end = tl.load(offsets + memory), tl.load(offsets + memory + 1)
    heads = tl.arange(0, HEADS_PADDED)
    zeros = tl.zeros((BLOCK_SLOT, BLOCK_CAND), tl.float32)
    total = tl.zeros((BLOCK_CAND, HEADS_PADDED), tl.float32)
    weighed = tl.zeros((BLOCK_CAND, HEADS_PADDED), tl.float32)
    best1 = tl.full((BLOCK_CAND,), LOWEST, tl.float32)
    best2 = tl.full((BLOCK_CAND,), LOWEST, tl.float32)
    best3 = tl.full((BLOCK_CAND,), LOWEST, tl.float32)
    cosines = tl.zeros((BLOCK_CAND,), tl.float32)
    last = tl.zeros((BLOCK_CAND,), tl.float32)
    n_counted = 0

    for begin in range(first, end, BLOCK_SLOT):
        slot = begin + tl.arange(0, BLOCK_SLOT)
        is_slot = slot < end
        rows = tl.load(slot_rows + slot, mask=is_slot, other=0)
        cosine, wide_scale = _cosine(unit, scales, rows, is_slot, cand, is_pair, dim, IS_INT8, UPCAST, BLOCK_DIM, zeros)
        counts = tl.load(counted + slot, mask=is_slot, other=0) != 0
        n_here = tl.sum(counts.to(tl.int32), 0)
        cosines += tl.sum(tl.where(counts[:, None], cosine, 0.0), 0)
        newest = tl.max(tl.where(counts, slot, -1), 0)
        last = tl.where(n_here > 0, tl.sum(tl.where((slot == newest)[:, None], cosine, 0.0), 0), last)
        n_counted += n_here
        left = tl.where(counts[:, None], cosine, LOWEST)
        for _ in tl.static_range(3):
            found = tl.max(left, 0)
            place = tl.argmax(left, 0)
            left = tl.where(tl.arange(0, BLOCK_SLOT)[:, None] == place[None, :], LOWEST, left)
            best3 = tl.maximum(best3, tl.minimum(best2, found))
            best2 = tl.maximum(best2, tl.minimum(best1, found))
            best1 = tl.maximum(best1, found)
        for head in tl.static_range(HEADS):
            attention, says = _head(
                slot_side, cand_side, rows, is_slot, cand, is_pair, cosine, wide_scale, bias, sign, alpha, gamma,
                slot, head_dim, head, HEADS, HEAD_DIM, IS_INT8, UPCAST, zeros,
            )  # fmt: skip
            mine = (heads == head)[None, :]
            total += tl.where(mine, tl.sum(attention, 0)[:, None], 0.0)
            weighed += tl.where(mine, tl.sum(attention * says, 0)[:, None], 0.0)

    is_head = (heads < HEADS)[None, :]
    null = tl.load(null_logit + heads, mask=heads < HEADS, other=0.0)
    null = tl.exp(tl.minimum(tl.maximum(null, -LIMIT), LIMIT))[None, :]
    values = tl.load(null_value + cand[:, None] * HEADS + heads[None, :], mask=is_pair[:, None] & is_head, other=0.0)
    total += null
    null_part = tl.sum(tl.where(is_head, null * values / total, 0.0), 1)
    from_slots = tl.sum(tl.where(is_head, weighed / total, 0.0), 1)
    prior_of = tl.load(prior + cand, mask=is_pair, other=0.0)

    any_counted = n_counted > 0
    n_best = tl.minimum(n_counted, 3)
    top3 = best1 + tl.where(n_counted > 1, best2, 0.0) + tl.where(n_counted > 2, best3, 0.0)
    column = tl.zeros((), tl.int64) + n_pairs  # Many pairs times seven are more than 32 bits count.
    tl.store(outputs + pair, prior_of + null_part + from_slots, mask=is_pair)
    tl.store(outputs + column + pair, prior_of, mask=is_pair)
    tl.store(outputs + 2 * column + pair, null_part, mask=is_pair)
    tl.store(outputs + 3 * column + pair, tl.where(any_counted, best1, 0.0), mask=is_pair)
    tl.store(outputs + 4 * column + pair, cosines / tl.maximum(n_counted, 1), mask=is_pair)
    tl.store(outputs + 5 * column + pair, tl.where(any_counted, top3 / tl.maximum(n_best, 1), 0.0), mask=is_pair)
    tl.store(outputs + 6 * column + pair, last, mask=is_pair)

    most = tl.full((BLOCK_CAND,), LOWEST, tl.float32)
    which = tl.full((BLOCK_CAND,), -1, tl.int64)
    for begin in range(first, end, BLOCK_SLOT):
        slot = begin + tl.arange(0, BLOCK_SLOT)
        is_slot = slot < end
        rows = tl.load(slot_rows + slot, mask=is_slot, other=0)
        cosine, wide_scale = _cosine(unit, scales, rows, is_slot, cand, is_pair, dim, IS_INT8, UPCAST, BLOCK_DIM, zeros)
        part = zeros
        for head in tl.static_range(HEADS):
            attention, says = _head(
                slot_side, cand_side, rows, is_slot, cand, is_pair, cosine, wide_scale, bias, sign, alpha, gamma,
                slot, head_dim, head, HEADS, HEAD_DIM, IS_INT8, UPCAST, zeros,
            )  # fmt: skip
            total_of = tl.sum(tl.where((heads == head)[None, :], total, 0.0), 1)
            part += attention * says / total_of[None, :]
        part = tl.where(is_slot[:, None], part, LOWEST)
        found = tl.max(part, 0)
        place = begin + tl.argmax(part, 0).to(tl.int64)
        which = tl.where(found > most, place, which)
        most = tl.maximum(most, found)
    tl.store(strongest + pair, which, mask=is_pair)


@triton.jit
@no_type_check
def _cosine(
    unit,
    scales,
    rows,
    is_slot,
    cand,
    is_pair,
    dim,
    IS_INT8: tl.constexpr,
    UPCAST: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    zeros,
):
    """Cosines [slot, cand], and what an int8 product of slot_side and cand_side is multiplied by; 1 for other types."""
    cosine = _product(unit, rows, is_slot, dim, 0, unit, cand, is_pair, dim, 0, dim, IS_INT8, UPCAST, BLOCK_DIM, zeros)
    wide_scale = zeros + 1.0
    if IS_INT8:
        of_slot = tl.load(scales + rows * 3, mask=is_slot, other=0.0)
        of_cand = tl.load(scales + cand * 3, mask=is_pair, other=0.0)
        cosine = cosine * of_slot[:, None] * of_cand[None, :]
        wide_slot = tl.load(scales + rows * 3 + 1, mask=is_slot, other=0.0)
        wide_cand = tl.load(scales + cand * 3 + 2, mask=is_pair, other=0.0)
        wide_scale = wide_slot[:, None] * wide_cand[None, :]
    return cosine, wide_scale
