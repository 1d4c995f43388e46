"""The match of ragged pairs in plain torch: padded, batched blocks of memories. Runs on any device and table type.

The fallback where neither Triton nor numba can run (`backends.py`). Memories of similar length share a block, so that
there is little padding. A block is one batched matrix product for the cosines, two for each head, and a few passes
over their results.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recmem.kernels.match_reference import LOGIT_LIMIT, clamped_exp
from recmem.kernels.packed_tables import PackedTables
from recmem.kernels.pairs import TOP, Memories, PairCandidates, PairScores

BLOCK_CELLS = 500_000
"""Cosines (memories x slots x candidates) of a block; measured."""
SMALLEST_SIDE = 16
"""Fewer slots or candidates than this count as this many: their gathered rows take memory as well."""


def match_pairs_torch(tables: PackedTables, memories: Memories, candidates: PairCandidates) -> PairScores:
    """See `match_pairs_reference`."""
    scores = PairScores.zeros(len(candidates.rows), candidates.rows.device)
    pieces = _Pieces.of(memories, candidates)
    sizes = torch.stack([pieces.n_slots, pieces.n_pairs], dim=1).tolist()
    begin = 0
    for end in _ends(sizes):
        _score_block(tables, memories, candidates, pieces.part(begin, end), scores)
        begin = end
    return scores


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Memories with their candidates, cut where these are very many; those of similar size stand together."""

    first_slot: Int[Tensor, " piece"]
    n_slots: Int[Tensor, " piece"]
    first_pair: Int[Tensor, " piece"]
    n_pairs: Int[Tensor, " piece"]

    @classmethod
    def of(cls, memories: Memories, candidates: PairCandidates) -> _Pieces:
        n_slots = memories.offsets.diff()
        n_pairs = candidates.offsets.diff()
        most = (BLOCK_CELLS // n_slots.clamp(min=SMALLEST_SIDE)).clamp(min=1)  # candidates of one piece, per memory
        n_pieces = (n_pairs + most - 1) // most

        # memory -> piece: each memory is repeated once for each of its pieces, which are numbered from 0.
        memory = torch.repeat_interleave(torch.arange(len(n_pairs), device=n_pairs.device), n_pieces)
        first_piece = n_pieces.cumsum(0) - n_pieces
        number = torch.arange(len(memory), device=n_pairs.device) - first_piece[memory]
        begin = number * most[memory]
        length = torch.minimum(n_pairs[memory] - begin, most[memory])

        # By number of slots, then by number of candidates.
        order = torch.argsort(n_slots[memory] * (BLOCK_CELLS + 1) + length)
        memory = memory[order]
        first_pair = candidates.offsets[memory] + begin[order]
        return cls(memories.offsets[memory], n_slots[memory], first_pair, length[order])

    def part(self, begin: int, end: int) -> _Pieces:
        """The pieces from `begin` to `end`."""
        every = (self.first_slot, self.n_slots, self.first_pair, self.n_pairs)
        return _Pieces(*(numbers[begin:end] for numbers in every))


def _ends(sizes: list[list[int]]) -> list[int]:
    """Where each block ends: padded to its widest piece, a block has at most `BLOCK_CELLS` cells."""
    ends = []
    begin = 0
    widest = 0
    for place, (n_slots, n_pairs) in enumerate(sizes):
        widest = max(widest, n_pairs)
        n_cells = (place + 1 - begin) * max(n_slots, SMALLEST_SIDE) * max(widest, SMALLEST_SIDE)
        if place > begin and n_cells > BLOCK_CELLS:
            ends.append(place)
            begin = place
            widest = n_pairs
    return [*ends, len(sizes)] if sizes else []


def _score_block(
    tables: PackedTables, memories: Memories, candidates: PairCandidates, block: _Pieces, scores: PairScores
) -> None:
    """Fills in the scores of one block's pairs. In shapes, `place` is a slot's place in its padded memory."""
    n_heads = tables.n_heads
    slots, is_slot = _padded(block.first_slot, block.n_slots)  # [memory, place]
    pairs, is_pair = _padded(block.first_pair, block.n_pairs)  # [memory, cand]
    slot_rows = memories.rows[slots] if slots.shape[1] else slots
    cand_rows = candidates.rows[pairs]
    cosine = tables.unit_rows(slot_rows) @ tables.unit_rows(cand_rows).transpose(1, 2)  # [memory, place, cand]
    # [memory, place or cand, 2 * head, head_dim]: keys before values, queries before probes.
    slot_side = tables.slot_rows(slot_rows).unflatten(2, (2 * n_heads, -1))
    cand_side = tables.cand_rows(cand_rows).unflatten(2, (2 * n_heads, -1))
    # There is no slot 0 to point padding at where no memory of the block has any: neither has it a term.
    term = memories.term[slots] if slots.shape[1] else slots
    bias = memories.bias[term].float()  # [memory, place, head]
    sign = memories.sign[term].float()
    visible = _visible(memories, cosine, slots, is_slot)
    null = clamped_exp(tables.null_logit)

    parts = torch.zeros_like(cosine)
    null_part = torch.zeros(cand_rows.shape, device=cosine.device)  # [memory, cand]
    for head in range(n_heads):
        key = slot_side[:, :, head]
        value = slot_side[:, :, n_heads + head]
        query = cand_side[:, :, head].transpose(1, 2)
        probe = cand_side[:, :, n_heads + head].transpose(1, 2)
        # e_hj = exp(clamp(<q, k> + alpha cos + bias)), in place; 0 for padding and for slots that are not visible.
        attention = torch.baddbmm(cosine, key, query, beta=float(tables.alpha[head]))
        attention.add_(bias[:, :, head, None]).clamp_(-LOGIT_LIMIT, LOGIT_LIMIT).exp_()
        if visible is not None:
            attention.mul_(visible)
        total = attention.sum(1).add_(null[head])
        # x_hj = <p, v> + gamma cos, then the slot's part of the score.
        values = torch.baddbmm(cosine, value, probe, beta=float(tables.gamma[head]))
        parts.add_(values.mul_(attention).mul_(sign[:, :, head, None]).div_(total[:, None]))
        null_part.add_(null[head] * tables.null_value[:, head][cand_rows] / total)

    place = pairs[is_pair]
    prior = tables.prior[cand_rows]
    scores.prior[place] = prior[is_pair]
    scores.score[place] = (prior + null_part + parts.sum(1))[is_pair]
    if slots.shape[1]:
        _similarities(cosine, is_slot & memories.counted[slots], scores, place, is_pair)


def _visible(
    memories: Memories,
    cosine: Float[Tensor, "memory place cand"],
    slots: Int[Tensor, "memory place"],
    is_slot: Bool[Tensor, "memory place"],
) -> Float[Tensor, "memory place cand_or_one"] | None:
    """1 where a slot is visible to a candidate, 0 elsewhere and for padding; None where all are visible to all."""
    if memories.retrieved is None or not slots.shape[1]:
        return None if bool(is_slot.all()) else is_slot[:, :, None].float()
    older = (is_slot & memories.retrieved.older[slots])[:, :, None]
    n_kept = min(memories.retrieved.n_kept, slots.shape[1])
    nearest = cosine.masked_fill(~older, -torch.inf).topk(n_kept, dim=1).values  # [memory, kept, cand]
    # With fewer older slots than n_kept, the last of the nearest is -inf, and all are visible.
    return (is_slot[:, :, None] & (~older | (cosine >= nearest[:, -1:]))).float()


def _similarities(
    cosine: Float[Tensor, "memory place cand"],
    counted: Bool[Tensor, "memory place"],
    scores: PairScores,
    place: Int[Tensor, " pair"],
    is_pair: Bool[Tensor, "memory cand"],
) -> None:
    """Fills in largest, mean, mean of the three largest and last cosine over the counted slots."""
    n_counted = counted.sum(1)[:, None]  # [memory, 1]
    weight = counted[:, :, None]

    # Where fewer than three slots count, -inf comes last among the best: masked before the sum.
    best = cosine.masked_fill(~weight, -torch.inf).topk(min(TOP, cosine.shape[1]), dim=1).values  # [memory, top, cand]
    n_best = n_counted.clamp(max=best.shape[1])
    rank = torch.arange(best.shape[1], device=best.device)[None, :, None]
    top = torch.where(rank < n_best[:, :, None], best, 0)

    last = cosine.shape[1] - 1 - counted.flip(1).int().argmax(1)  # [memory]: place of the newest counted slot
    pooled = {
        "similarity_max": top[:, 0],
        "similarity_top3": top.sum(1) / n_best.clamp(min=1),
        "similarity_mean": (cosine * weight).sum(1) / n_counted.clamp(min=1),
        "similarity_last": cosine.gather(1, last[:, None, None].expand(-1, 1, cosine.shape[2]))[:, 0],
    }
    for name, values in pooled.items():
        getattr(scores, name)[place] = torch.where(n_counted > 0, values, 0)[is_pair]


def _padded(
    begins: Int[Tensor, " memory"], lengths: Int[Tensor, " memory"]
) -> tuple[Int[Tensor, "memory place"], Bool[Tensor, "memory place"]]:
    """Positions of the block's entries, one row per memory, and which are no padding. Padding points at 0."""
    places = torch.arange(int(lengths.max()), device=begins.device)[None]
    inside = places < lengths[:, None]
    return torch.where(inside, begins[:, None] + places, 0), inside
