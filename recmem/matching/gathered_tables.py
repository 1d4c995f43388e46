"""The rows of the match module's tables that some memories need, where these have texts that are in no item table."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recmem.kernels import PER_ITEM, MatchTables
from recmem.matching.match_module import MatchModule
from recmem.matching.rounded_tables import rounded_tables
from recmem.matching.user_memory import Slots


def gathered(
    tables: MatchTables, exact: MatchModule, slots: Slots, candidates: Int[Tensor, " cand"]
) -> tuple[MatchTables, Slots, Int[Tensor, " cand"]]:
    """Tables of the distinct texts of slots and candidates alone, and both with their rows there.

    `candidates` are rows of `tables`; `exact` is `exact_module` of the module that these are of. Which rows are read is
    found where slots and candidates are: on the host nothing waits for a GPU.
    """
    device = tables.unit.device
    rows, place = torch.unique(torch.cat([slots.rows, candidates]), return_inverse=True)
    n_slots = len(slots.rows)
    # Negative rows, the slots' own texts, come first.
    own = rows[rows < 0]
    added = own_tables(exact, slots, own)
    of_items = rows[len(own) :].to(device)
    per_item = {name: torch.cat([getattr(added, name), getattr(tables, name)[of_items]]) for name in PER_ITEM}
    return replace(tables, **per_item), slots.moved_to(place[:n_slots]), place[n_slots:]


def own_tables(exact: MatchModule, slots: Slots, rows: Int[Tensor, " text"]) -> MatchTables:
    """Tables of own texts of the slots, given as the negative rows that slots have."""
    no_items: Float[Tensor, "item dim"] = torch.zeros((0, exact.config.dim), dtype=torch.float64, device=rows.device)
    return rounded_tables(exact, slots.vectors_of(no_items, rows).to(exact.prior.device))
