"""The match of ragged pairs in blocks of memories, padded and batched: the quick path of a CPU, and of any device.

Memories of like length stand together, so that little is padding. A block is one batched matrix product for the
cosines and two for each head, and some passes over their results.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from recmem.kernels.match_reference import LOGIT_LIMIT
from recmem.kernels.pairs import TOP, Memories, PackedTables, PairCandidates, PairScores

BLOCK_CELLS = 500_000
"""Cosines (memories x slots x candidates) of a block; measured."""
FEW = 16
"""Fewer slots or candidates count as so many: their rows, which are gathered, take room as well."""


def match_pairs_torch(tables: PackedTables, memories: Memories, asked: PairCandidates) -> PairScores:
    """See `match_pairs_reference`."""
    found = PairScores.empty(len(asked.rows), asked.rows.device)
    pieces = _Pieces.of(memories, asked)
    sizes = torch.stack([pieces.n_slots, pieces.n_pairs], dim=1).tolist()
    begin = 0
    for end in _ends(sizes):
        _score_block(tables, memories, asked, pieces.part(begin, end), found)
        begin = end
    return found


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Memories with their candidates, or with a part of these where they are very many; those of like size together."""

    first_slot: Int[Tensor, " piece"]
    n_slots: Int[Tensor, " piece"]
    first_pair: Int[Tensor, " piece"]
    n_pairs: Int[Tensor, " piece"]

    @classmethod
    def of(cls, memories: Memories, asked: PairCandidates) -> _Pieces:
        n_slots, n_pairs = memories.offsets.diff(), asked.offsets.diff()
        most = (BLOCK_CELLS // n_slots.clamp(min=FEW)).clamp(min=1)
        cuts = (n_pairs + most - 1) // most
        memory = torch.repeat_interleave(torch.arange(len(n_pairs), device=cuts.device), cuts)
        begin = (torch.arange(len(memory), device=cuts.device) - (cuts.cumsum(0) - cuts)[memory]) * most[memory]
        length = torch.minimum(n_pairs[memory] - begin, most[memory])
        order = torch.argsort(n_slots[memory] * (BLOCK_CELLS + 1) + length)
        memory, begin, length = memory[order], begin[order], length[order]
        return cls(memories.offsets[memory], n_slots[memory], asked.offsets[memory] + begin, length)

    def part(self, begin: int, end: int) -> _Pieces:
        """The pieces from `begin` to `end`."""
        columns = (self.first_slot, self.n_slots, self.first_pair, self.n_pairs)
        return _Pieces(*(column[begin:end] for column in columns))


def _ends(sizes: list[list[int]]) -> list[int]:
    """Where each block ends: blocks of memories whose padded logits stay within `BLOCK_CELLS`."""
    ends, begin, widest = [], 0, 0
    for place, (n_slots, n_pairs) in enumerate(sizes):
        widest = max(widest, n_pairs)
        if place > begin and (place + 1 - begin) * max(n_slots, FEW) * max(widest, FEW) > BLOCK_CELLS:
            ends.append(place)
            begin, widest = place, n_pairs
    return [*ends, len(sizes)] if sizes else []


def _score_block(
    tables: PackedTables,
    memories: Memories,
    asked: PairCandidates,
    block: _Pieces,
    found: PairScores,
) -> None:
    slots, is_slot = _padded(block.first_slot, block.n_slots)
    pairs, is_pair = _padded(block.first_pair, block.n_pairs)
    rows, candidates = memories.rows[slots] if slots.shape[1] else slots, asked.rows[pairs]
    cosine = tables.rows(rows, 0) @ tables.rows(candidates, 0).transpose(1, 2)
    told = tables.rows(rows, 1).unflatten(2, (2 * tables.n_heads, -1))
    asks = tables.rows(candidates, 2).unflatten(2, (2 * tables.n_heads, -1))
    seen = _seen(memories, cosine, slots, is_slot)
    null = tables.null_logit.clamp(-LOGIT_LIMIT, LOGIT_LIMIT).exp()
    parts = torch.zeros_like(cosine)
    null_part = torch.zeros(candidates.shape, device=cosine.device)
    bias, sign = (_per_slot(terms, slots) for terms in (memories.bias, memories.sign))
    for head in range(tables.n_heads):
        key, query = told[:, :, head], asks[:, :, head]
        value, probe = told[:, :, tables.n_heads + head], asks[:, :, tables.n_heads + head]
        attention = torch.baddbmm(cosine, key, query.transpose(1, 2), beta=float(tables.alpha[head]))
        attention.add_(bias[:, :, head, None]).clamp_(-LOGIT_LIMIT, LOGIT_LIMIT).exp_()
        if seen is not None:
            attention.mul_(seen)
        total = attention.sum(1).add_(null[head])
        says = torch.baddbmm(cosine, value, probe.transpose(1, 2), beta=float(tables.gamma[head]))
        parts.add_(says.mul_(attention).mul_(sign[:, :, head, None]).div_(total[:, None]))
        null_part.add_(null[head] * tables.null_value[:, head][candidates] / total)
    place = pairs[is_pair]
    prior = tables.prior[candidates]
    found.prior[place], found.null[place] = prior[is_pair], null_part[is_pair]
    found.score[place] = (prior + null_part + parts.sum(1))[is_pair]
    if slots.shape[1]:
        best = parts.masked_fill_(~is_slot[:, :, None], -torch.inf).argmax(1)
        strongest = torch.where(is_slot.any(1)[:, None], slots.gather(1, best), -1)
        found.strongest[place] = strongest[is_pair]
        _similarities(cosine, is_slot & memories.counted[slots], found, place, is_pair)


def _seen(
    memories: Memories,
    cosine: Float[Tensor, "memory place cand"],
    slots: Int[Tensor, "memory place"],
    is_slot: Bool[Tensor, "memory place"],
) -> Float[Tensor, "memory place cand_or_one"] | None:
    """1 where a candidate sees a slot, 0 elsewhere and for padding; None where all see all."""
    if memories.retrieved is None or not slots.shape[1]:
        return None if bool(is_slot.all()) else is_slot[:, :, None].float()
    older = (is_slot & memories.retrieved.older[slots])[:, :, None]
    nearest = cosine.masked_fill(~older, -torch.inf).topk(min(memories.retrieved.n_kept, slots.shape[1]), dim=1)
    return (is_slot[:, :, None] & (~older | (cosine >= nearest.values[:, -1:]))).float()


def _similarities(
    cosine: Float[Tensor, "memory place cand"],
    counted: Bool[Tensor, "memory place"],
    found: PairScores,
    place: Int[Tensor, " pair"],
    is_pair: Bool[Tensor, "memory cand"],
) -> None:
    n_counted = counted.sum(1)
    weight = counted[:, :, None]
    best = cosine.masked_fill(~weight, -torch.inf).topk(min(TOP, cosine.shape[1]), dim=1).values
    n_best = n_counted.clamp(max=best.shape[1])[:, None]
    top = torch.where(torch.arange(best.shape[1], device=best.device)[None, :, None] < n_best[:, :, None], best, 0)
    last = cosine.shape[1] - 1 - counted.flip(1).int().argmax(1)
    pooled = {
        "similarity_max": top[:, 0],
        "similarity_top3": top.sum(1) / n_best.clamp(min=1),
        "similarity_mean": (cosine * weight).sum(1) / n_counted.clamp(min=1)[:, None],
        "similarity_last": cosine.gather(1, last[:, None, None].expand(-1, 1, cosine.shape[2]))[:, 0],
    }
    for name, values in pooled.items():
        getattr(found, name)[place] = torch.where(n_counted[:, None] > 0, values, 0)[is_pair]


def _padded(
    begins: Int[Tensor, " memory"], lengths: Int[Tensor, " memory"]
) -> tuple[Int[Tensor, "memory place"], Bool[Tensor, "memory place"]]:
    """Positions of the block's entries, one row a memory, and which of them are no padding (which points at 0)."""
    places = torch.arange(int(lengths.max()), device=begins.device)[None]
    inside = places < lengths[:, None]
    return torch.where(inside, begins[:, None] + places, 0), inside


def _per_slot(
    terms: Float[Tensor, "slot head"], slots: Int[Tensor, "memory place"]
) -> Float[Tensor, "memory place head"]:
    return terms[slots].float() if slots.shape[1] else terms.new_zeros((*slots.shape, terms.shape[1]))
