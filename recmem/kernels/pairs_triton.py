"""The match of ragged pairs as one Triton kernel: gather, attend, sum; no slots x candidates leave the chip.

    cosine[j, c]    = <unit_j, unit_c>
    logits_h[j, c]  = <k_h(j), q_h(c)> + alpha_h cosine[j, c] + bias_h(j)
    values_h[j, c]  = (<v_h(j), p_h(c)> + gamma_h cosine[j, c]) sign_h(j)
    attention_h     = exp(clamp(logits_h))
    score[c]        = prior(c) + sum_h (e_h0 z_h(c) + sum_j attention_h values_h) / (e_h0 + sum_j attention_h)

One program scores up to `BLOCK_CAND` candidates of one memory. It walks over the memory's slots in blocks: the cosines
of a block are one product over `dim`, logits and values of a head two products over `head_dim`, and what remains of a
block are sums over its slots, per candidate and head. No running maximum is kept, for the logits are clamped. Products
are [cand, slot], since tensor cores leave a row's numbers to few threads: sums and maxima over slots then need no
shared memory. Dimensions are compile-time constants, so that loads are masked only where a dimension is not a multiple
of its block, and loops over them are pipelined. Slots and candidates beyond the last load row 0, and are masked in what
is summed and written.

Pointers: `unit` [item, dim], `slot_side` and `cand_side` [item, 2 * n_heads * head_dim], all of one type; `prior`
[item], `null_value` [item, n_heads], `alpha`, `gamma`, `null_logit` [n_heads]; `bias` and `sign` [term, n_heads]; int32
parts of a `PairRequest`: `tiles` [program, 4], `slot_rows`, `term` and `counted` [slot], `cand_rows` [pair]; `outputs`
float32 [len(OUTPUTS), pair]. Rows have been checked against the tables. Products accumulate in float32.

Limits: no retrieved slots, and a head_dim of at most `LARGEST_HEAD_DIM`. head_dim and the number of heads are padded to
powers of two of at least 16 and 1.

Pointers have no Python type, so the kernels are left out of type checks; `match_pairs_triton` checks.
"""

from __future__ import annotations

import math
import os
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from recmem.kernels.match_reference import LOGIT_LIMIT
from recmem.kernels.packed_tables import PackedTables
from recmem.kernels.pair_request import HostRequest, PairRequest, packed
from recmem.kernels.pairs import OUTPUTS, TOP, Memories, PairCandidates, PairScores

BLOCK_CAND = 64
"""Candidates of a program. Blocks, stages and warps are the best of a search on an H100, with a prototype of this
kernel and 50 slots x 100 candidates."""
LARGEST_BLOCK_SLOT = 64
"""Slots that a program takes at a time; fewer where memories are short, see `_block_slot`."""
BLOCK_DIM = 64
"""Dimensions of a product over `dim` that a program takes at a time."""
DIM_STAGES = 3
"""Blocks of dimensions in flight at once."""
HEAD_STAGES = 2
"""Heads in flight at once."""
WARPS = 4
"""Of a program."""
SMALLEST_BLOCK = 16
"""Of dimensions or slots, in a product on tensor cores."""
LARGEST_HEAD_DIM = 128
"""A head's keys, values, queries and probes lie in shared memory at once: 129 KB of an H100's 227 for this one."""

# Constants that the kernels read have to be constexpr.
LOWEST = tl.constexpr(-3.0e38)
LIMIT = tl.constexpr(LOGIT_LIMIT)
LOG2_E = tl.constexpr(math.log2(math.e))
N_TOP = tl.constexpr(TOP)
SCORE = tl.constexpr(OUTPUTS.index("score"))
PRIOR = tl.constexpr(OUTPUTS.index("prior"))
SIMILARITY_MAX = tl.constexpr(OUTPUTS.index("similarity_max"))
SIMILARITY_MEAN = tl.constexpr(OUTPUTS.index("similarity_mean"))
SIMILARITY_TOP3 = tl.constexpr(OUTPUTS.index("similarity_top3"))
SIMILARITY_LAST = tl.constexpr(OUTPUTS.index("similarity_last"))


def why_not(tables: PackedTables, memories: Memories) -> str | None:
    """Why this backend cannot score these memories; None if it can."""
    device = tables.unit.device
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"the tables are on {device.type}, and Triton needs CUDA"
    if memories.retrieved is not None:
        return "the memories hold slots that are retrieved for each candidate, and this kernel reads all slots"
    if tables.head_dim > LARGEST_HEAD_DIM:
        return f"heads of {tables.head_dim} numbers are too long, and this kernel reads at most {LARGEST_HEAD_DIM}"
    return None


def match_pairs_triton(tables: PackedTables, memories: Memories, candidates: PairCandidates) -> PairScores:
    """See `match_pairs_reference`: one copy to the device and one launch. Memories and candidates of the host are best.

    Raises RuntimeError, with the reason, where the kernel cannot run.
    """
    reason = why_not(tables, memories)
    if reason is not None:
        raise RuntimeError(f"backend: expected an available backend, got 'triton': {reason}. Use 'auto' or 'torch'.")
    device = tables.unit.device
    if not len(candidates.rows):
        return PairScores.zeros(0, device)
    request = request_of(memories, candidates, pinned=device.type == "cuda").to(device)
    bias, sign = (terms.to(device).float().contiguous() for terms in (memories.bias, memories.sign))
    return score_request(tables, request, bias, sign)


def request_of(memories: Memories, candidates: PairCandidates, *, pinned: bool = False) -> HostRequest:
    """The request on the host, in pinned memory if it is to be copied to CUDA."""
    return packed(memories, candidates, BLOCK_CAND, pinned=pinned)


def score_request(
    tables: PackedTables, request: PairRequest, bias: Float[Tensor, "term head"], sign: Float[Tensor, "term head"]
) -> PairScores:
    """Scores of a request that is on the tables' device, with terms that are there too: one launch."""
    n_pairs = len(request.cand_rows)
    outputs = torch.empty((len(OUTPUTS), n_pairs), device=tables.unit.device)
    with torch.cuda.device_of(tables.unit):  # Triton launches on the current GPU, which may be another
        _score[(len(request.tiles),)](
            tables.unit,
            tables.slot_side,
            tables.cand_side,
            tables.prior,
            tables.null_value,
            tables.alpha,
            tables.gamma,
            tables.null_logit,
            bias,
            sign,
            request.tiles,
            request.slot_rows,
            request.term,
            request.counted,
            request.cand_rows,
            outputs,
            n_pairs,
            DIM=tables.unit.shape[1],
            HEAD_DIM=tables.head_dim,
            HEADS=tables.n_heads,
            HEADS_PADDED=triton.next_power_of_2(tables.n_heads),
            # The interpreter gets bf16 products wrong, silently; its own numbers are float32.
            UPCAST=os.environ.get("TRITON_INTERPRET") == "1" or tables.unit.dtype == torch.float32,
            BLOCK_CAND=BLOCK_CAND,
            BLOCK_SLOT=_block_slot(len(request.slot_rows), request.n_memories),
            BLOCK_DIM=BLOCK_DIM,
            BLOCK_HEAD_DIM=max(triton.next_power_of_2(tables.head_dim), SMALLEST_BLOCK),
            DIM_STAGES=DIM_STAGES,
            HEAD_STAGES=HEAD_STAGES,
            num_warps=WARPS,
        )
    return PairScores.of(outputs)


def _block_slot(n_slots: int, n_memories: int) -> int:
    """The smallest block of slots that holds the average memory."""
    block: int = triton.next_power_of_2(-(-n_slots // n_memories))
    return min(max(block, SMALLEST_BLOCK), LARGEST_BLOCK_SLOT)


@triton.jit
@no_type_check
def _add_product(acc, left, right, is_dim, IS_PADDED: tl.constexpr, UPCAST: tl.constexpr):
    """acc + left @ right in float32: [cand, slot] of pointers to [cand, BLOCK] and [BLOCK, slot].

    `is_dim` [BLOCK] is read where the block is longer than what is left of the dimensions.
    """
    if IS_PADDED:
        a = tl.load(left, mask=is_dim[None, :], other=0.0)
        b = tl.load(right, mask=is_dim[:, None], other=0.0)
    else:
        a = tl.load(left)
        b = tl.load(right)
    if UPCAST:
        acc += tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="ieee")
    else:
        acc = tl.dot(a, b, acc)
    return acc


@triton.jit
@no_type_check
def _clamped_exp(logits):
    """exp of logits clamped to +-LIMIT."""
    return tl.exp2(tl.minimum(tl.maximum(logits, -LIMIT), LIMIT) * LOG2_E)


@triton.jit
@no_type_check
def _largest_three(values):
    """The three largest of each row of values [cand, slot], descending, with ties; LOWEST where there are fewer."""
    best = tl.max(values, 1)
    n_best = tl.sum((values == best[:, None]).to(tl.int32), 1)
    values = tl.where(values == best[:, None], LOWEST, values)
    second = tl.max(values, 1)
    n_second = tl.sum((values == second[:, None]).to(tl.int32), 1)
    third = tl.max(tl.where(values == second[:, None], LOWEST, values), 1)
    # A value that occurs several times takes several places.
    at_third = tl.where(n_best + n_second > 2, second, third)
    return best, tl.where(n_best > 1, best, second), tl.where(n_best > 2, best, at_third)


@triton.jit
@no_type_check
def _merged(best1, best2, best3, value):
    """The three largest of four, descending, of which the first three are so already."""
    best3 = tl.maximum(best3, tl.minimum(best2, value))
    best2 = tl.maximum(best2, tl.minimum(best1, value))
    return tl.maximum(best1, value), best2, best3


# n_pairs has no kernel of its own for 1 and for multiples of 16: a process would compile each when it first comes.
@triton.jit(do_not_specialize=["n_pairs"])
@no_type_check
def _score(
    unit,
    slot_side,
    cand_side,
    prior,
    null_value,
    alpha,
    gamma,
    null_logit,
    bias,
    sign,
    tiles,
    slot_rows,
    term,
    counted,
    cand_rows,
    outputs,
    n_pairs,
    DIM: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    HEADS: tl.constexpr,
    HEADS_PADDED: tl.constexpr,
    UPCAST: tl.constexpr,
    BLOCK_CAND: tl.constexpr,
    BLOCK_SLOT: tl.constexpr,
    BLOCK_DIM: tl.constexpr,
    BLOCK_HEAD_DIM: tl.constexpr,
    DIM_STAGES: tl.constexpr,
    HEAD_STAGES: tl.constexpr,
):
    """Scores and similarities of one tile: `BLOCK_CAND` candidates of one memory. See the module."""
    # 1. The tile.
    #    Rows are widened before they are multiplied: a table's numbers do not fit into 32 bits.
    tile = tiles + 4 * tl.program_id(0)
    first_slot = tl.load(tile).to(tl.int64)
    end_slot = tl.load(tile + 1).to(tl.int64)
    pair = tl.load(tile + 2).to(tl.int64) + tl.arange(0, BLOCK_CAND)
    is_pair = pair < tl.load(tile + 3)
    cand = tl.load(cand_rows + pair, mask=is_pair, other=0).to(tl.int64)
    WIDE: tl.constexpr = 2 * HEADS * HEAD_DIM
    dims = tl.arange(0, BLOCK_DIM)
    head_dims = tl.arange(0, BLOCK_HEAD_DIM)
    unit_of_cand = unit + cand[:, None] * DIM + dims[None, :]
    side_of_cand = cand_side + cand[:, None] * WIDE + head_dims[None, :]

    # 2. What is summed over the slots: [cand, head] and [cand].
    heads = tl.arange(0, HEADS_PADDED)
    zeros = tl.zeros((BLOCK_CAND, BLOCK_SLOT), tl.float32)
    total = tl.zeros((BLOCK_CAND, HEADS_PADDED), tl.float32)
    weighted = tl.zeros((BLOCK_CAND, HEADS_PADDED), tl.float32)
    best1 = tl.full((BLOCK_CAND,), LOWEST, tl.float32)
    best2 = tl.full((BLOCK_CAND,), LOWEST, tl.float32)
    best3 = tl.full((BLOCK_CAND,), LOWEST, tl.float32)
    cosine_sum = tl.zeros((BLOCK_CAND,), tl.float32)
    last = tl.zeros((BLOCK_CAND,), tl.float32)
    n_counted = 0

    for begin in range(first_slot, end_slot, BLOCK_SLOT):
        # 3. Cosines of a block: [BLOCK_CAND, BLOCK_SLOT].
        #    Vectors count from the block's first slot, so that they fit into 32 bits: registers are scarce.
        slot = tl.arange(0, BLOCK_SLOT)
        is_slot = slot < (end_slot - begin).to(tl.int32)
        rows = tl.load(slot_rows + begin + slot, mask=is_slot, other=0).to(tl.int64)
        term_of = tl.load(term + begin + slot, mask=is_slot, other=0) * HEADS
        unit_of_slot = unit + rows[None, :] * DIM + dims[:, None]
        cosine = zeros
        for first in tl.range(0, DIM, BLOCK_DIM, num_stages=DIM_STAGES):
            is_dim = first + dims < DIM
            cosine = _add_product(
                cosine, unit_of_cand + first, unit_of_slot + first, is_dim, DIM % BLOCK_DIM != 0, UPCAST
            )

        # 4. Mean and last similarity, over the counted slots: `newest` is the block's last of them.
        is_counted = tl.load(counted + begin + slot, mask=is_slot, other=0) != 0
        n_here = tl.sum(is_counted.to(tl.int32), 0)
        cosine_sum += tl.sum(tl.where(is_counted[None, :], cosine, 0.0), 1)
        newest = tl.max(tl.where(is_counted, slot, -1), 0)
        last_here = tl.sum(tl.where((slot == newest)[None, :], cosine, 0.0), 1)
        last = tl.where(n_here > 0, last_here, last)
        n_counted += n_here

        # 5. The three largest.
        block1, block2, block3 = _largest_three(tl.where(is_counted[None, :], cosine, LOWEST))
        best1, best2, best3 = _merged(best1, best2, best3, block1)
        best1, best2, best3 = _merged(best1, best2, best3, block2)
        best1, best2, best3 = _merged(best1, best2, best3, block3)

        # 6. Attention and weighted values of every head go into that head's column of the sums. Keys and queries lie in
        #    the first half of a row, values and probes in the second.
        is_head_dim = head_dims < HEAD_DIM
        side_of_slot = slot_side + rows[None, :] * WIDE + head_dims[:, None]
        for head in tl.range(0, HEADS, num_stages=HEAD_STAGES):
            side = head * HEAD_DIM
            logits = _add_product(
                zeros, side_of_cand + side, side_of_slot + side, is_head_dim, HEAD_DIM < BLOCK_HEAD_DIM, UPCAST
            )
            side = (HEADS + head) * HEAD_DIM
            values = _add_product(
                zeros, side_of_cand + side, side_of_slot + side, is_head_dim, HEAD_DIM < BLOCK_HEAD_DIM, UPCAST
            )
            bias_of = tl.load(bias + head + term_of)
            sign_of = tl.load(sign + head + term_of)
            attention = _clamped_exp(logits + tl.load(alpha + head) * cosine + bias_of[None, :])
            # Masked after the exponential: a padding slot would have an attention above 0.
            attention = tl.where(is_slot[None, :], attention, 0.0)
            values = (values + tl.load(gamma + head) * cosine) * sign_of[None, :]
            is_own = (heads == head)[None, :]
            total += tl.where(is_own, tl.sum(attention, 1)[:, None], 0.0)
            weighted += tl.where(is_own, tl.sum(attention * values, 1)[:, None], 0.0)

    # 7. The null slot, and the sum over heads: [cand, head] -> [cand]. Padded heads are masked.
    is_head = (heads < HEADS)[None, :]
    null = _clamped_exp(tl.load(null_logit + heads, mask=heads < HEADS, other=0.0))[None, :]
    null_values = tl.load(
        null_value + cand[:, None] * HEADS + heads[None, :], mask=is_pair[:, None] & is_head, other=0.0
    )
    total += null
    null_part = tl.sum(tl.where(is_head, null * null_values / total, 0.0), 1)
    from_slots = tl.sum(tl.where(is_head, weighted / total, 0.0), 1)
    prior_of = tl.load(prior + cand, mask=is_pair, other=0.0)

    # 8. Outputs. Of fewer than three counted slots the best are LOWEST, and do not enter the mean.
    any_counted = n_counted > 0
    n_best = tl.minimum(n_counted, N_TOP)
    top3 = best1 + tl.where(n_counted > 1, best2, 0.0) + tl.where(n_counted > 2, best3, 0.0)
    row = tl.zeros((), tl.int64) + n_pairs  # many pairs times six do not fit into 32 bits
    tl.store(outputs + SCORE * row + pair, prior_of + null_part + from_slots, mask=is_pair)
    tl.store(outputs + PRIOR * row + pair, prior_of, mask=is_pair)
    tl.store(outputs + SIMILARITY_MAX * row + pair, tl.where(any_counted, best1, 0.0), mask=is_pair)
    tl.store(outputs + SIMILARITY_MEAN * row + pair, cosine_sum / tl.maximum(n_counted, 1), mask=is_pair)
    mean_of_best = tl.where(any_counted, top3 / tl.maximum(n_best, 1), 0.0)
    tl.store(outputs + SIMILARITY_TOP3 * row + pair, mean_of_best, mask=is_pair)
    tl.store(outputs + SIMILARITY_LAST * row + pair, last, mask=is_pair)
