"""The match tables in the layout that pair kernels read: what is read together lies together, rounded."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from recmem.kernels.match_reference import MatchTables


@dataclass(frozen=True, eq=False)
class PackedTables:
    """`MatchTables` for kernels. `wide` is 2 * n_heads * head_dim."""

    unit: Shaped[Tensor, "item dim"]
    """float16, as served; benchmarks also take float32 and bfloat16."""
    slot_side: Shaped[Tensor, "item wide"]
    """Keys of all heads, then values of all heads: read where the item is a slot."""
    cand_side: Shaped[Tensor, "item wide"]
    """Queries of all heads, then probes of all heads: read where the item is a candidate."""
    prior: Float[Tensor, " item"]
    null_value: Float[Tensor, "item head"]
    alpha: Float[Tensor, " head"]
    gamma: Float[Tensor, " head"]
    null_logit: Float[Tensor, " head"]

    @classmethod
    def of(cls, tables: MatchTables, dtype: torch.dtype = torch.float16) -> PackedTables:
        """The tables rounded to a floating type."""
        slot_side = torch.cat([tables.key, tables.value], dim=1)
        cand_side = torch.cat([tables.query, tables.probe], dim=1)
        rounded = (table.to(dtype).contiguous() for table in (tables.unit, slot_side, cand_side))
        shared = (tables.prior, tables.null_value, tables.alpha, tables.gamma, tables.null_logit)
        return cls(*rounded, *(part.detach().float().contiguous() for part in shared))

    @property
    def n_heads(self) -> int:
        """Number of heads."""
        return self.alpha.shape[0]

    @property
    def head_dim(self) -> int:
        """Width of a head's keys, values, queries and probes."""
        return self.slot_side.shape[1] // (2 * self.n_heads)

    def unit_rows(self, rows: Int[Tensor, "*place"]) -> Float[Tensor, "*place dim"]:
        """Rows of `unit` as float32."""
        return _rows(self.unit, rows)

    def slot_rows(self, rows: Int[Tensor, "*place"]) -> Float[Tensor, "*place wide"]:
        """Rows of `slot_side` as float32."""
        return _rows(self.slot_side, rows)

    def cand_rows(self, rows: Int[Tensor, "*place"]) -> Float[Tensor, "*place wide"]:
        """Rows of `cand_side` as float32."""
        return _rows(self.cand_side, rows)

    def followed_by(self, others: PackedTables) -> PackedTables:
        """Tables of one module and type, whose rows come after these."""
        per_item = ("unit", "slot_side", "cand_side", "prior", "null_value")
        return replace(self, **{name: torch.cat([getattr(self, name), getattr(others, name)]) for name in per_item})

    def separate(self) -> MatchTables:
        """The same numbers as separate tables: views, not copies."""
        return self._separate(self.unit, self.slot_side, self.cand_side)

    def unpacked(self) -> MatchTables:
        """The same numbers as separate float32 tables."""
        every = torch.arange(len(self.prior), device=self.prior.device)
        return self._separate(self.unit_rows(every), self.slot_rows(every), self.cand_rows(every))

    def _separate(self, unit: Tensor, slot_side: Tensor, cand_side: Tensor) -> MatchTables:
        key, value = slot_side.chunk(2, dim=1)
        query, probe = cand_side.chunk(2, dim=1)
        return MatchTables(
            unit=unit,
            query=query,
            key=key,
            probe=probe,
            value=value,
            prior=self.prior,
            null_value=self.null_value,
            alpha=self.alpha,
            gamma=self.gamma,
            null_logit=self.null_logit,
        )


def _rows(table: Tensor, rows: Int[Tensor, "*place"]) -> Float[Tensor, "*place width"]:
    # index_select copies whole rows; indexing with two axes goes number by number.
    return table.index_select(0, rows.flatten()).view(*rows.shape, table.shape[1]).float()
