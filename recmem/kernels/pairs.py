"""The match of ragged pairs: every memory with candidates of its own. The contract, and its definition in plain torch.

    match_pairs_reference(tables, memories, asked) -> PairScores

One memory after the other, through `match_contributions`: slow and plain. Every other backend gives the same numbers,
within the tolerance of the tables' type.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from recmem.kernels.match_reference import MatchTables, RetrievedSlots, match_contributions

INT8_MAX = 127
TOP = 3
"""Slots that `similarity_top3` is the mean of."""


@dataclass(frozen=True, eq=False)
class PackedTables:
    """`MatchTables` as kernels read them: what is read together lies together, in the type that is worth its bytes."""

    unit: Shaped[Tensor, "item dim"]
    """float32, float16, bfloat16; or int8, to be multiplied by `scales`."""
    slot_side: Shaped[Tensor, "item wide"]
    """Key and value of every head, side by side: read where the item is a slot."""
    cand_side: Shaped[Tensor, "item wide"]
    """Query and probe of every head: read where the item is a candidate."""
    scales: Float[Tensor, "item three"] | None
    """Of an int8 row of unit, slot_side and cand_side; None for the other types."""
    prior: Float[Tensor, " item"]
    null_value: Float[Tensor, "item head"]
    alpha: Float[Tensor, " head"]
    gamma: Float[Tensor, " head"]
    null_logit: Float[Tensor, " head"]

    @classmethod
    def of(cls, tables: MatchTables, dtype: torch.dtype = torch.float32) -> PackedTables:
        """The tables rounded to a floating type, or to int8 with a scale per row."""
        wide = [tables.unit, torch.cat([tables.key, tables.value], 1), torch.cat([tables.query, tables.probe], 1)]
        scales = None
        if dtype == torch.int8:
            scales = torch.stack([table.abs().amax(1).clamp(min=1e-12) / INT8_MAX for table in wide], dim=1)
            wide = [(table / scales[:, place, None]).round() for place, table in enumerate(wide)]
        unit, slot_side, cand_side = (table.to(dtype).contiguous() for table in wide)
        shared = (tables.prior, tables.null_value, tables.alpha, tables.gamma, tables.null_logit)
        return cls(unit, slot_side, cand_side, scales, *(part.detach().float().contiguous() for part in shared))

    @property
    def n_heads(self) -> int:
        """Number of heads."""
        return self.alpha.shape[0]

    def rows(self, rows: Int[Tensor, "*place"], side: int) -> Float[Tensor, "*place wide"]:
        """Rows of unit (0), slot_side (1) or cand_side (2) as float32."""
        table = (self.unit, self.slot_side, self.cand_side)[side]
        # index_select copies whole rows; indexing with two axes goes number by number.
        picked = table.index_select(0, rows.flatten()).view(*rows.shape, table.shape[1]).float()
        return picked if self.scales is None else picked * self.scales[:, side][rows][..., None]

    def unpacked(self) -> MatchTables:
        """The same numbers as separate float32 tables."""
        every = torch.arange(len(self.prior), device=self.prior.device)
        (key, value), (query, probe) = (self.rows(every, side).chunk(2, dim=1) for side in (1, 2))
        shared = (self.prior, self.null_value, self.alpha, self.gamma, self.null_logit)
        return MatchTables(self.rows(every, 0), query, key, probe, value, *shared)


@dataclass(frozen=True, eq=False)
class Memories:
    """Ragged memories as a kernel reads them: memory `m` holds the slots `offsets[m] .. offsets[m + 1]`."""

    rows: Int[Tensor, " slot"]
    """Row of each slot's text in the tables."""
    offsets: Int[Tensor, " memory_and_one"]
    counted: Bool[Tensor, " slot"]
    """Slots that the similarities are taken over."""
    bias: Float[Tensor, "slot head"]
    """Added to the attention's logits."""
    sign: Float[Tensor, "slot head"]
    """Multiplies what a slot says."""
    retrieved: RetrievedSlots | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True, eq=False)
class PairCandidates:
    """Candidates of each memory: `rows[offsets[m] : offsets[m + 1]]`, rows of the tables."""

    rows: Int[Tensor, " pair"]
    offsets: Int[Tensor, " memory_and_one"]


@dataclass(frozen=True, eq=False)
class PairScores:
    """What a kernel gives for every pair: float32, and int64 for `strongest`."""

    score: Float[Tensor, " pair"]
    prior: Float[Tensor, " pair"]
    null: Float[Tensor, " pair"]
    """The null slot's part of the score."""
    similarity_max: Float[Tensor, " pair"]
    similarity_mean: Float[Tensor, " pair"]
    similarity_top3: Float[Tensor, " pair"]
    similarity_last: Float[Tensor, " pair"]
    """Cosines over the counted slots; 0 where there is none."""
    strongest: Int[Tensor, " pair"]
    """Number of the slot that contributes most, the first of equals; -1 for an empty memory."""

    @classmethod
    def empty(cls, n_pairs: int, device: torch.device) -> PairScores:
        """Zeros to be filled in, and -1 for `strongest`."""
        names = [field.name for field in fields(cls) if field.name != "strongest"]
        numbers = {name: torch.zeros(n_pairs, device=device) for name in names}
        return cls(**numbers, strongest=torch.full((n_pairs,), -1, device=device))


def check_rows(tables: PackedTables, memories: Memories, asked: PairCandidates) -> None:
    """Raises IndexError for a row outside the tables: no backend reads what is not there."""
    n_items = len(tables.prior)
    given = {"memories.rows": memories.rows, "asked.rows": asked.rows}
    given = {name: rows for name, rows in given.items() if len(rows)}
    if not given:
        return
    # Fetched at once: a GPU is waited for once.
    bounds = torch.stack([bound for rows in given.values() for bound in torch.aminmax(rows)]).tolist()
    for name, low, high in zip(given, bounds[::2], bounds[1::2], strict=True):
        if low < 0 or high >= n_items:
            raise IndexError(f"{name}: expected 0 .. {n_items - 1}, got {low} .. {high}. Map ids to rows first.")


def match_pairs_reference(packed: PackedTables, memories: Memories, asked: PairCandidates) -> PairScores:
    """The definition: each memory taken apart by `match_contributions`."""
    found, tables = PairScores.empty(len(asked.rows), asked.rows.device), packed.unpacked()
    for memory in range(len(memories)):
        slots = slice(*memories.offsets[memory : memory + 2].tolist())
        pairs = slice(*asked.offsets[memory : memory + 2].tolist())
        rows, candidates = memories.rows[slots], asked.rows[pairs]
        retrieved = memories.retrieved and RetrievedSlots(memories.retrieved.older[slots], memories.retrieved.n_kept)
        prior, null, parts = match_contributions(
            tables, rows, memories.bias[slots], memories.sign[slots], candidates, retrieved
        )
        found.score[pairs], found.prior[pairs], found.null[pairs] = prior + null + parts.sum(0), prior, null
        if len(rows):
            found.strongest[pairs] = parts.argmax(0) + slots.start
        cosine = tables.unit[rows[memories.counted[slots]]] @ tables.unit[candidates].T
        if len(cosine):
            best = cosine.topk(min(TOP, len(cosine)), dim=0).values
            found.similarity_max[pairs], found.similarity_top3[pairs] = best[0], best.mean(0)
            found.similarity_mean[pairs], found.similarity_last[pairs] = cosine.mean(0), cosine[-1]
    return found
