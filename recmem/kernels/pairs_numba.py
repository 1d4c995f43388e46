"""The match of ragged pairs in one pass, compiled by numba: gather, attend, sum; no slots x candidates in memory.

A memory's slots are copied once, side by side, into a panel that stays in the cache of one core. Its candidates come
`ROWS` at a time: their rows are widened to float32, multiplied with the panel (`tiles_numba`), and everything that the
definition sums over the slots is summed while the products are still in the cache. Threads take pieces of memories. A
pair's numbers are the same to the bit whatever else is scored beside it, in whatever order.

In shapes, `lane` is a memory's slot, padded to a multiple of `LANES`; `cand` is a candidate's place in its group.

Limits: float16 tables on a CPU. Exponentials are within 2 ulp (`exponential_numba`).

numba's functions are left out of type checks: arrays have no dtype and shape there. `match_pairs_numba` checks.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, no_type_check

import numpy as np
import torch
from numba import njit

from feature_store.arrays import BoolArray, Float32Array, Int16Array, IntArray
from feature_store.numba_cache import compiled
from recmem.kernels.exponential_numba import COMPILED, exp
from recmem.kernels.match_reference import LOGIT_LIMIT, clamped_exp
from recmem.kernels.packed_tables import PackedTables
from recmem.kernels.pair_pieces import pair_pieces
from recmem.kernels.pairs import OUTPUTS, TOP, Memories, PairCandidates, PairScores
from recmem.kernels.tiles_numba import LANES, ROWS, check_processor, fill_panel, prefetch_row, times_panel, widen_rows

PIECE_CELLS = 100_000
"""Slots times candidates of a piece, the unit of work of a thread: about 1 ms."""

# Typed, for numba would compute in float64 with Python's numbers.
_LIMIT = np.float32(LOGIT_LIMIT)
_ZERO = np.float32(0)
_ONE = np.float32(1)
_LOWEST = np.float32(-3.0e38)
# Rows of the output, which the kernel takes as constants.
_SCORE = OUTPUTS.index("score")
_PRIOR = OUTPUTS.index("prior")
_MAX = OUTPUTS.index("similarity_max")
_MEAN = OUTPUTS.index("similarity_mean")
_TOP3 = OUTPUTS.index("similarity_top3")
_LAST = OUTPUTS.index("similarity_last")


class _Tables(NamedTuple):
    """`PackedTables` as arrays, with the null slot's weight in place of its logit.

    Those of int16 hold the bits of float16 numbers, see `tiles_numba`.
    """

    unit: Int16Array
    """[item, dim]"""
    slot_side: Int16Array
    """[item, 2 * n_heads * head_dim]"""
    cand_side: Int16Array
    """[item, 2 * n_heads * head_dim]"""
    prior: Float32Array
    """[item]"""
    null_value: Float32Array
    """[item, head]"""
    alpha: Float32Array
    """[head]"""
    gamma: Float32Array
    """[head]"""
    null_weight: Float32Array
    """[head]"""


class _Slots(NamedTuple):
    """`Memories` as arrays, [slot]; `bias` and `sign` are [term, head]."""

    rows: IntArray
    counted: BoolArray
    term: IntArray
    bias: Float32Array
    sign: Float32Array
    older: BoolArray
    """Slots that are visible to a candidate only if retrieved."""
    n_kept: np.int64
    """How many of those are visible; 0 where no slot is retrieved."""


class _Scratch(NamedTuple):
    """Working arrays for one memory and a group of its candidates.

    The arrays named `flat_...` are the same memory as those before them, as one line: all candidates of a group go
    through one loop, for a short memory alone would not fill the processor's pipelines. Views are made once per
    memory and never in a loop: numba counts references to each, which costs more than the work done on it.
    """

    unit_group: Float32Array
    """[cand, dim]: rows of the group's candidates."""
    side_group: Float32Array
    """[cand, 2 * n_heads * head_dim]"""
    unit_panel: Float32Array
    """[dim, lane]"""
    side_panel: Float32Array
    """[2 * n_heads * head_dim, lane]"""
    cosine: Float32Array
    """[cand, lane]"""
    logits: Float32Array
    """[cand, lane]: <q, k> of one head, then its attention."""
    values: Float32Array
    """[cand, lane]: <p, v> of one head, then values times sign times attention."""
    parts: Float32Array
    """[cand, lane]: each slot's part of the score, summed over heads."""
    visible: Float32Array
    """[cand, lane]: 1 where a slot is visible to the candidate, 0 for other slots and for padding."""
    bias: Float32Array
    """[head, cand * lane]"""
    sign: Float32Array
    """[head, cand * lane]"""
    nearest: Float32Array
    """[lane]: the largest cosines of the older slots, descending."""
    flat_cosine: Float32Array
    flat_logits: Float32Array
    flat_values: Float32Array
    flat_visible: Float32Array


def match_pairs_numba(tables: PackedTables, memories: Memories, candidates: PairCandidates) -> PairScores:
    """See `match_pairs_reference`.

    Raises RuntimeError for tables that are not float16 on a CPU, or on a processor that cannot widen them.
    """
    check_processor()
    if tables.unit.device.type != "cpu" or tables.unit.dtype != torch.float16:
        what = f"{str(tables.unit.dtype).removeprefix('torch.')} on {tables.unit.device.type}"
        raise RuntimeError(f"backend: expected float16 tables on a CPU for numba, got {what}. Use 'auto' or 'torch'.")
    outputs = np.empty((len(OUTPUTS), len(candidates.rows)), np.float32)
    arguments = (_tables(tables), _slots(memories), candidates.rows.numpy(), outputs)

    def score(pieces: IntArray) -> None:
        _score(pieces, *arguments)

    runs = _runs(_pieces(memories.offsets.numpy(), candidates.offsets.numpy()))
    if len(runs) == 1:
        score(runs[0])
    else:
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            list(pool.map(score, runs))
    return PairScores.of(torch.from_numpy(outputs))


def _tables(tables: PackedTables) -> _Tables:
    null_weight = clamped_exp(tables.null_logit)
    rounded = (tables.unit, tables.slot_side, tables.cand_side)
    parts = (*(part.view(torch.int16) for part in rounded), tables.prior, tables.null_value, tables.alpha)
    return _Tables(*(part.detach().contiguous().numpy() for part in (*parts, tables.gamma, null_weight)))


def _slots(memories: Memories) -> _Slots:
    older = torch.zeros(len(memories.rows), dtype=torch.bool)
    n_kept = 0
    if memories.retrieved is not None:
        older = memories.retrieved.older
        n_kept = memories.retrieved.n_kept
    return _Slots(
        rows=memories.rows.contiguous().numpy(),
        counted=memories.counted.contiguous().numpy(),
        term=memories.term.contiguous().numpy(),
        bias=memories.bias.detach().float().contiguous().numpy(),
        sign=memories.sign.detach().float().contiguous().numpy(),
        older=older.contiguous().numpy(),
        n_kept=np.int64(n_kept),
    )


def _pieces(slots: IntArray, pairs: IntArray) -> IntArray:
    """See `pair_pieces`; at most `PIECE_CELLS` cells each."""
    most = np.maximum(PIECE_CELLS // np.maximum(np.diff(slots), LANES), 1)  # candidates of one piece, per memory
    return pair_pieces(slots, pairs, most)


def _runs(pieces: IntArray) -> list[IntArray]:
    """The pieces in runs of about `PIECE_CELLS` cells; at least one run."""
    cells = np.maximum(pieces[:, 1] - pieces[:, 0], LANES) * (pieces[:, 3] - pieces[:, 2])
    run = np.cumsum(cells) // PIECE_CELLS
    return np.split(pieces, np.flatnonzero(np.diff(run)) + 1)


@njit(**COMPILED)
@no_type_check
def _attend(head, alpha, gamma, scratch):
    """One head's attention and weighted values of every candidate and lane of the group, in place.

    logits -> e = exp(clamp(logits + alpha cos + bias)), 0 where not visible
    values -> e * (values + gamma cos) * sign
    """
    cosine = scratch.flat_cosine
    logits = scratch.flat_logits
    values = scratch.flat_values
    visible = scratch.flat_visible
    bias = scratch.bias
    sign = scratch.sign
    for cell in range(len(cosine)):
        logit = logits[cell] + alpha * cosine[cell] + bias[head, cell]
        attention = exp(min(max(logit, -_LIMIT), _LIMIT)) * visible[cell]
        logits[cell] = attention
        values[cell] = attention * (values[cell] + gamma * cosine[cell]) * sign[head, cell]


@njit(**COMPILED)
@no_type_check
def _similarities(cand, cosine, counted, first_slot, n_slots, outputs, pair):
    """Writes the pooled cosines over the counted slots: largest, mean, mean of the three largest, last; 0 for none."""
    first = _LOWEST
    second = _LOWEST
    third = _LOWEST
    total = _ZERO
    last = _ZERO
    n_counted = 0
    for slot in range(n_slots):
        if counted[first_slot + slot]:
            last = cosine[cand, slot]
            total += last
            n_counted += 1
            # A new largest pushes the others down: three comparisons without a branch.
            third = max(third, min(second, last))
            second = max(second, min(first, last))
            first = max(first, last)
    if n_counted == 0:
        first = _ZERO
        n_counted = 1
    top = first if n_counted == 1 else first + second if n_counted == 2 else first + second + third
    outputs[_MAX, pair] = first
    outputs[_MEAN, pair] = total / np.float32(n_counted)
    outputs[_TOP3, pair] = top / np.float32(min(n_counted, TOP))
    outputs[_LAST, pair] = last


@njit(**COMPILED)
@no_type_check
def _find_visible(cand, cosine, older, first_slot, n_slots, n_kept, nearest, visible):
    """Writes 1 into `visible` for the newer slots, and for older ones at least as similar as the n_kept-th of them."""
    for place in range(n_kept):
        nearest[place] = _LOWEST
    # The n_kept largest cosines of older slots, by insertion: equal ones at the border need no place.
    for slot in range(n_slots):
        if older[first_slot + slot] and cosine[cand, slot] > nearest[n_kept - 1]:
            place = n_kept - 1
            while place and nearest[place - 1] < cosine[cand, slot]:
                nearest[place] = nearest[place - 1]
                place -= 1
            nearest[place] = cosine[cand, slot]
    for slot in range(n_slots):
        is_visible = not older[first_slot + slot] or cosine[cand, slot] >= nearest[n_kept - 1]
        visible[cand, slot] = _ONE if is_visible else _ZERO


@njit(**COMPILED)
@no_type_check
def _load_memory(piece, tables, slots, scratch):
    """Fills the panels with the piece's slots, and repeats bias, sign and visibility for each candidate of a group."""
    first_slot = piece[0]
    visible = scratch.visible
    bias = scratch.bias
    sign = scratch.sign
    rows = slots.rows[piece[0] : piece[1]]
    if len(rows):
        fill_panel(tables.unit, rows, scratch.unit_panel)
        fill_panel(tables.slot_side, rows, scratch.side_panel)
    # Padding lanes hold the last slot's products: visible = 0 takes them out of every sum.
    n_lanes = visible.shape[1]
    for lane in range(n_lanes):
        is_slot = lane < len(rows)
        term = slots.term[first_slot + lane] if is_slot else 0
        for cand in range(ROWS):
            visible[cand, lane] = _ONE if is_slot else _ZERO
        for head in range(len(bias)):
            for cell in range(lane, ROWS * n_lanes, n_lanes):
                bias[head, cell] = slots.bias[term, head] if is_slot else _ZERO
                sign[head, cell] = slots.sign[term, head] if is_slot else _ZERO


@njit(**COMPILED)
@no_type_check
def _score_group(rows, piece, pair, n_pairs, tables, slots, scratch, null_part, outputs):
    """Scores the candidates `rows`, of which the first `n_pairs` are the pairs from `pair` on.

    score = prior + sum_h e_h0 z_h / total_h + sum_j sum_h e_hj sign_hj x_hj / total_h
    total_h = e_h0 + sum_j e_hj
    """
    cosine = scratch.cosine
    attention = scratch.logits
    weighted = scratch.values
    parts = scratch.parts
    side_group = scratch.side_group
    first_slot = piece[0]
    n_slots = piece[1] - piece[0]
    n_heads = len(tables.alpha)
    head_dim = len(scratch.side_panel) // (2 * n_heads)

    widen_rows(tables.unit, rows, scratch.unit_group)
    widen_rows(tables.cand_side, rows, side_group)
    # [cand, lane]: cosines of the group with all slots.
    times_panel(scratch.unit_group, 0, len(scratch.unit_panel), scratch.unit_panel, 0, cosine)
    for cand in range(n_pairs):
        null_part[cand] = _ZERO
        for lane in range(parts.shape[1]):
            parts[cand, lane] = _ZERO
        if slots.n_kept and n_slots:
            n_kept = min(slots.n_kept, n_slots)
            _find_visible(cand, cosine, slots.older, first_slot, n_slots, n_kept, scratch.nearest, scratch.visible)

    for head in range(n_heads):
        # Column of the head's query and key; probe and value lie n_heads further on.
        first = head * head_dim
        second = (n_heads + head) * head_dim
        times_panel(side_group, first, head_dim, scratch.side_panel, first, scratch.logits)
        times_panel(side_group, second, head_dim, scratch.side_panel, second, scratch.values)
        _attend(head, tables.alpha[head], tables.gamma[head], scratch)
        for cand in range(n_pairs):
            total = _ZERO
            for lane in range(attention.shape[1]):
                total += attention[cand, lane]
            share = _ONE / (tables.null_weight[head] + total)
            for lane in range(parts.shape[1]):
                parts[cand, lane] += weighted[cand, lane] * share
            null_part[cand] += tables.null_weight[head] * tables.null_value[rows[cand], head] * share

    for cand in range(n_pairs):
        from_slots = _ZERO
        for lane in range(parts.shape[1]):
            from_slots += parts[cand, lane]
        prior = tables.prior[rows[cand]]
        outputs[_PRIOR, pair + cand] = prior
        outputs[_SCORE, pair + cand] = prior + null_part[cand] + from_slots
        _similarities(cand, cosine, slots.counted, first_slot, n_slots, outputs, pair + cand)


@njit(**COMPILED)
@no_type_check
def _n_lines(dim, wide, n_heads):
    """Lines of one lane each that `_scratch` cuts: two panels, five arrays of a group, bias and sign, and `nearest`."""
    return dim + wide + (5 + 2 * n_heads) * ROWS + 1


@njit(**COMPILED)
@no_type_check
def _scratch(lines, unit_group, side_group, n_heads):
    """The working arrays of one memory: the group's rows, and lines [line, lane] cut into the others."""
    dim = unit_group.shape[1]
    wide = side_group.shape[1]
    group = dim + wide
    terms = group + 5 * ROWS
    cosine = lines[group : group + ROWS]
    logits = lines[group + ROWS : group + 2 * ROWS]
    values = lines[group + 2 * ROWS : group + 3 * ROWS]
    parts = lines[group + 3 * ROWS : group + 4 * ROWS]
    visible = lines[group + 4 * ROWS : terms]
    # ROWS lines of a head become one: [head, cand * lane].
    bias = lines[terms : terms + ROWS * n_heads].reshape(n_heads, -1)
    sign = lines[terms + ROWS * n_heads : terms + 2 * ROWS * n_heads].reshape(n_heads, -1)
    nearest = lines[terms + 2 * ROWS * n_heads]
    return _Scratch(
        unit_group,
        side_group,
        lines[:dim],
        lines[dim:group],
        cosine,
        logits,
        values,
        parts,
        visible,
        bias,
        sign,
        nearest,
        cosine.reshape(-1),
        logits.reshape(-1),
        values.reshape(-1),
        visible.reshape(-1),
    )


# numba keeps the compiled kernel in __pycache__ until this file changes. Remove the *.nbi there after a change of
# tiles_numba.py or exponential_numba.py, or of the constants that are imported above.
@compiled(**COMPILED)
@no_type_check
def _score(pieces, tables, slots, candidates, outputs):
    """Scores the pairs of the pieces (rows of `_pieces`): the body of one thread."""
    dim = tables.unit.shape[1]
    wide = tables.slot_side.shape[1]
    n_heads = len(tables.alpha)
    n_lines = _n_lines(dim, wide, n_heads)
    most = 0
    for piece in pieces:
        most = max(most, -(-(piece[1] - piece[0]) // LANES) * LANES)
    room = np.empty(n_lines * most, np.float32)  # enough for the longest memory
    unit_group = np.empty((ROWS, dim), np.float32)
    side_group = np.empty((ROWS, wide), np.float32)
    rows = np.empty(ROWS, np.int64)
    null_part = np.empty(ROWS, np.float32)

    for piece in pieces:
        n_lanes = -(-(piece[1] - piece[0]) // LANES) * LANES
        scratch = _scratch(room[: n_lines * n_lanes].reshape(n_lines, n_lanes), unit_group, side_group, n_heads)
        _load_memory(piece, tables, slots, scratch)
        for pair in range(piece[2], piece[3], ROWS):
            # The next group's rows are prefetched while this group is computed.
            for following in range(pair + ROWS, min(piece[3], pair + 2 * ROWS)):
                prefetch_row(tables.unit, candidates[following])
                prefetch_row(tables.cand_side, candidates[following])
            # A last group of fewer is filled up with its last candidate, whose results are not written.
            n_pairs = min(piece[3] - pair, ROWS)
            for cand in range(ROWS):
                rows[cand] = candidates[pair + min(cand, n_pairs - 1)]
            _score_group(rows, piece, pair, n_pairs, tables, slots, scratch, null_part, outputs)
