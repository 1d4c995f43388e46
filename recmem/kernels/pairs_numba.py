"""The match of ragged pairs in one pass, compiled by numba: gather, attend, sum; no slots x candidates in memory.

A memory's slots are copied once, side by side, into a panel that stays in the cache of one core. Its candidates come
four at a time: their rows are read where the tables lie, multiplied with the panel (`tiles_numba`), and all that the
definition says of a candidate is summed over the slots while its products are at hand. Pieces of memories go to
threads; a pair's numbers are the same to the bit whatever else is scored beside it, in whatever order.

Limits: float32 tables on a CPU. Exponentials are a polynomial of 1 ulp.

Arrays have no Python type here, so what numba compiles is left out of type checks; `match_pairs_numba` checks.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import no_type_check

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from feature_store.arrays import Float32Array, IntArray
from feature_store.numba_cache import compiled
from recmem.kernels.match_reference import LOGIT_LIMIT
from recmem.kernels.pairs import Memories, PackedTables, PairCandidates, PairScores
from recmem.kernels.tiles_numba import LANES, ROWS, fetch_row, fill_panel, float_of_bits, times_panel

PIECE_CELLS = 100_000
"""Slots times candidates of a piece, of which a thread takes one at a time: some 1 ms."""
OUTPUTS = (
    "score",
    "prior",
    "null",
    "similarity_max",
    "similarity_mean",
    "similarity_top3",
    "similarity_last",
)

_COMPILED = {"nogil": True, "fastmath": {"contract", "reassoc", "nsz"}, "error_model": "numpy"}
_LIMIT, _ONE, _ZERO = np.float32(LOGIT_LIMIT), np.float32(1), np.float32(0)
_LOWEST = np.float32(-3.0e38)
# exp(x) = 2^n exp(x - n log 2), the rest by Cephes' expf; log 2 in two parts, of which the first has few bits.
_LOG2_E, _LOG_2_HIGH, _LOG_2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
_E2, _E3, _E4 = np.float32(5.0000001201e-1), np.float32(1.6666665459e-1), np.float32(4.1665795894e-2)
_E5, _E6, _E7 = np.float32(8.3334519073e-3), np.float32(1.3981999507e-3), np.float32(1.9875691500e-4)
_HALF, _EXPONENT_BIAS, _MANTISSA_BITS = np.float32(0.5), np.int32(127), np.int32(23)


def match_pairs_numba(tables: PackedTables, memories: Memories, asked: PairCandidates) -> PairScores:
    """See `match_pairs_reference`. Raises RuntimeError for tables that are not float32 on a CPU."""
    if tables.unit.device.type != "cpu" or tables.unit.dtype != torch.float32:
        what = f"{str(tables.unit.dtype).removeprefix('torch.')} on {tables.unit.device.type}"
        raise RuntimeError(f"backend: expected float32 tables on a CPU for numba, got {what}. Use 'auto' or 'torch'.")
    found = PairScores.empty(len(asked.rows), asked.rows.device)
    numbers = np.empty((len(OUTPUTS), len(asked.rows)), np.float32)
    pieces = _pieces(memories.offsets.numpy(), asked.offsets.numpy())
    arguments = (_tables(tables), _memories(memories), asked.rows.numpy(), numbers, found.strongest.numpy())

    def score(part: IntArray) -> None:
        _score(part, *arguments)

    parts = _parts(pieces)
    if len(parts) == 1:
        score(parts[0])
    else:
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            list(pool.map(score, parts))
    columns = {name: torch.from_numpy(column) for name, column in zip(OUTPUTS, numbers, strict=True)}
    return PairScores(**columns, strongest=found.strongest)


def _tables(tables: PackedTables) -> tuple[Float32Array, ...]:
    null = tables.null_logit.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).exp()
    parts = (tables.unit, tables.slot_side, tables.cand_side, tables.prior, tables.null_value, tables.alpha)
    return tuple(part.detach().contiguous().numpy() for part in (*parts, tables.gamma, null))


def _memories(memories: Memories) -> tuple[NDArray[np.generic] | np.int64, ...]:
    older, n_kept = torch.zeros(len(memories.rows), dtype=torch.bool), 0
    if memories.retrieved is not None:
        older, n_kept = memories.retrieved.older, memories.retrieved.n_kept
    terms = (memories.bias.detach().float().contiguous(), memories.sign.detach().float().contiguous())
    parts = (memories.rows, memories.counted, *terms, older)
    return (*(part.contiguous().numpy() for part in parts), np.int64(n_kept))


def _pieces(slots: IntArray, pairs: IntArray) -> IntArray:
    """int64[piece, 4]: first slot, end of the slots, first pair, end of the pairs; no more than `PIECE_CELLS` cells."""
    n_slots, n_pairs = np.diff(slots), np.diff(pairs)
    most = np.maximum(PIECE_CELLS // np.maximum(n_slots, LANES), 1)
    cuts = -(-n_pairs // most)
    memory = np.repeat(np.arange(len(n_pairs)), cuts)
    first = pairs[memory] + (np.arange(len(memory)) - (np.cumsum(cuts) - cuts)[memory]) * most[memory]
    end = np.minimum(first + most[memory], pairs[memory + 1])
    return np.stack([slots[memory], slots[memory + 1], first, end], axis=1)


def _parts(pieces: IntArray) -> list[IntArray]:
    """The pieces in runs of about `PIECE_CELLS` cells, one run at the least."""
    cells = np.maximum(pieces[:, 1] - pieces[:, 0], LANES) * (pieces[:, 3] - pieces[:, 2])
    run = np.cumsum(cells) // PIECE_CELLS
    return np.split(pieces, np.flatnonzero(np.diff(run)) + 1)


@njit(**_COMPILED)
@no_type_check
def _exp(x):
    n = np.floor(x * _LOG2_E + _HALF)
    rest = x - n * _LOG_2_HIGH - n * _LOG_2_LOW
    sum_ = ((((_E7 * rest + _E6) * rest + _E5) * rest + _E4) * rest + _E3) * rest + _E2
    power = float_of_bits((np.int32(n) + _EXPONENT_BIAS) << _MANTISSA_BITS)
    return (sum_ * rest * rest + rest + _ONE) * power


@njit(**_COMPILED)
@no_type_check
def _attend(head, alpha, gamma, flat):
    """`look` becomes the attention of every candidate over the slots; `told` what each says, times its attention.

    All candidates of a group in one loop: a short memory alone would not fill the processor's pipelines.
    """
    cosine, look, told, biases, signs, seen = flat
    for cell in range(len(cosine)):
        logit = look[cell] + alpha * cosine[cell] + biases[head, cell]
        attention = _exp(min(max(logit, -_LIMIT), _LIMIT)) * seen[cell]
        look[cell] = attention
        told[cell] = attention * (told[cell] + gamma * cosine[cell]) * signs[head, cell]


# Rows of arrays are never taken out: a view is counted as it begins and ends, which costs more than the work done here.
@njit(**_COMPILED)
@no_type_check
def _similar(one, cosine, counted, first_slot, n_slots, numbers, pair):
    """Largest, mean, mean of the three largest and last cosine over the counted slots; 0 where there is none."""
    first, second, third, total, last, n_counted = _LOWEST, _LOWEST, _LOWEST, _ZERO, _ZERO, 0
    for slot in range(n_slots):
        if counted[first_slot + slot]:
            last = cosine[one, slot]
            total += last
            n_counted += 1
            third = max(third, min(second, last))
            second = max(second, min(first, last))
            first = max(first, last)
    if n_counted == 0:
        first, second, third, n_counted = _ZERO, _ZERO, _ZERO, 1
    top = first if n_counted == 1 else first + second if n_counted == 2 else first + second + third
    numbers[3, pair], numbers[4, pair] = first, total / np.float32(n_counted)
    numbers[5, pair], numbers[6, pair] = top / np.float32(min(n_counted, 3)), last


@njit(**_COMPILED)
@no_type_check
def _sum_up(one, n_slots, parts):
    """Sum of a candidate's parts, and the place of the largest, the first of equals."""
    total, best = _ZERO, 0
    for slot in range(parts.shape[1]):
        total += parts[one, slot]
    for slot in range(1, n_slots):
        if parts[one, slot] > parts[one, best]:
            best = slot
    return total, best


@njit(**_COMPILED)
@no_type_check
def _find(one, cosine, older, first_slot, n_slots, n_kept, best, seen):
    """`seen` becomes 1 for the slots that a candidate sees: of the older ones those as like it as the n_kept-th."""
    for place in range(n_kept):
        best[place] = _LOWEST
    for slot in range(n_slots):
        if older[first_slot + slot] and cosine[one, slot] > best[n_kept - 1]:
            place = n_kept - 1
            while place and best[place - 1] < cosine[one, slot]:
                best[place] = best[place - 1]
                place -= 1
            best[place] = cosine[one, slot]
    for slot in range(n_slots):
        is_seen = not older[first_slot + slot] or cosine[one, slot] >= best[n_kept - 1]
        seen[one, slot] = _ONE if is_seen else _ZERO


@njit(**_COMPILED)
@no_type_check
def _panels(piece, tables, memories, space):
    """The piece's slots side by side, and what age and kind add, for each of a group's candidates alike.

    `seen` is 1 where there is a slot.
    """
    unit, slot_side, _, _, _, _, _, _ = tables
    slot_rows, _, bias, sign, _, _ = memories
    of_unit, of_sides, _, _, _, _, biases, signs, seen, _ = space
    rows = slot_rows[piece[0] : piece[1]]
    if len(rows):
        fill_panel(unit, rows, of_unit)
        fill_panel(slot_side, rows, of_sides)
    for slot in range(seen.shape[1]):
        for one in range(ROWS):
            seen[one, slot] = _ONE if slot < len(rows) else _ZERO
        for head in range(len(biases)):
            for cell in range(slot, ROWS * seen.shape[1], seen.shape[1]):
                biases[head, cell] = bias[piece[0] + slot, head] if slot < len(rows) else _ZERO
                signs[head, cell] = sign[piece[0] + slot, head] if slot < len(rows) else _ZERO


@njit(**_COMPILED)
@no_type_check
def _score_group(rows, piece, pair, n_pairs, tables, memories, space, flat, numbers, strongest):
    """All of the candidates `rows`, of which the first `n_pairs` are asked for: the pairs from `pair` on."""
    unit, _, cand_side, prior, null_value, alpha, gamma, null = tables
    _, counted, _, _, older, n_kept = memories
    of_unit, of_sides, cosine, look, told, parts, _, _, seen, best = space
    first_slot, n_slots, n_heads = piece[0], piece[1] - piece[0], len(alpha)
    width = len(of_sides) // (2 * n_heads)
    times_panel(unit, rows, 0, len(of_unit), of_unit, 0, cosine)
    for one in range(n_pairs):
        numbers[1, pair + one], numbers[2, pair + one] = prior[rows[one]], _ZERO
        for slot in range(parts.shape[1]):
            parts[one, slot] = _ZERO
        if n_kept and n_slots:
            _find(one, cosine, older, first_slot, n_slots, min(n_kept, n_slots), best, seen)
    for head in range(n_heads):
        times_panel(cand_side, rows, head * width, width, of_sides, head * width, look)
        times_panel(cand_side, rows, (n_heads + head) * width, width, of_sides, (n_heads + head) * width, told)
        _attend(head, alpha[head], gamma[head], flat)
        for one in range(n_pairs):
            total = _ZERO
            for slot in range(look.shape[1]):
                total += look[one, slot]
            share = _ONE / (null[head] + total)
            for slot in range(parts.shape[1]):
                parts[one, slot] += told[one, slot] * share
            numbers[2, pair + one] += null[head] * null_value[rows[one], head] * share
    for one in range(n_pairs):
        _similar(one, cosine, counted, first_slot, n_slots, numbers, pair + one)
        total, strong = _sum_up(one, n_slots, parts)
        numbers[0, pair + one] = numbers[1, pair + one] + numbers[2, pair + one] + total
        strongest[pair + one] = first_slot + strong if n_slots else -1


@njit(**_COMPILED)
@no_type_check
def _cut(lines, dim, wide, n_heads):
    """The lines of one memory by what they hold, and those of a group's candidates once more, as one line each."""
    sides = dim + wide
    terms = sides + 4 * ROWS
    seen = terms + 2 * ROWS * n_heads
    cosine, look = lines[sides : sides + ROWS], lines[sides + ROWS : sides + 2 * ROWS]
    told, parts = lines[sides + 2 * ROWS : sides + 3 * ROWS], lines[sides + 3 * ROWS : terms]
    biases = lines[terms : terms + ROWS * n_heads].reshape(n_heads, -1)
    signs = lines[terms + ROWS * n_heads : seen].reshape(n_heads, -1)
    is_seen, best = lines[seen : seen + ROWS], lines[seen + ROWS]
    space = (lines[:dim], lines[dim:sides], cosine, look, told, parts, biases, signs, is_seen, best)
    flat = (cosine.reshape(-1), look.reshape(-1), told.reshape(-1), biases, signs, is_seen.reshape(-1))
    return space, flat


# What is compiled is kept in __pycache__ until this file changes. After a change of tiles_numba, remove *.nbi there.
@compiled(**_COMPILED)
@no_type_check
def _score(pieces, tables, memories, asked, numbers, strongest):
    dim, wide, n_heads = tables[0].shape[1], tables[1].shape[1], len(tables[5])
    most = 0
    for piece in pieces:
        most = max(most, -(-(piece[1] - piece[0]) // LANES) * LANES)
    n_lines = dim + wide + (5 + 2 * n_heads) * ROWS + 1
    room = np.empty(n_lines * most, np.float32)
    rows = np.empty(ROWS, np.int64)
    for piece in pieces:
        lanes = -(-(piece[1] - piece[0]) // LANES) * LANES
        lines = room[: n_lines * lanes].reshape(n_lines, lanes)
        space, flat = _cut(lines, dim, wide, n_heads)
        _panels(piece, tables, memories, space)
        for pair in range(piece[2], piece[3], ROWS):
            n_pairs = min(piece[3] - pair, ROWS)
            for following in range(pair + ROWS, min(piece[3], pair + 2 * ROWS)):
                fetch_row(tables[0], asked[following])
                fetch_row(tables[2], asked[following])
            for one in range(ROWS):
                rows[one] = asked[pair + min(one, n_pairs - 1)]
            _score_group(rows, piece, pair, n_pairs, tables, memories, space, flat, numbers, strongest)
