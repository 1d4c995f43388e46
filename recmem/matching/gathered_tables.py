"""The rows of the match module's tables that some memories need, where these have texts that are in no item table."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from recmem.kernels import PER_ITEM, MatchTables
from recmem.matching.match_module import MatchModule
from recmem.matching.user_memory import Slots


def exact_module(module: MatchModule) -> MatchModule:
    """The module in float64, whose tables are rounded once: a text's row is the same in any batch."""
    return copy.deepcopy(module).double()


def gathered(
    tables: MatchTables, exact: MatchModule, slots: Slots, candidates: Int[Tensor, " cand"]
) -> tuple[MatchTables, Slots, Int[Tensor, " cand"]]:
    """Tables of the distinct texts of slots and candidates alone, and both with their rows there.

    `candidates` are rows of `tables`; `exact` is `exact_module` of the module that these are of.
    """
    rows, place = torch.unique(torch.cat([slots.rows, candidates]), return_inverse=True)
    n_slots = len(slots.rows)
    # Negative rows, the slots' own texts, come first.
    own = rows[rows < 0]
    added = own_tables(exact, slots, own)
    of_items = rows[len(own) :]
    per_item = {name: torch.cat([getattr(added, name), getattr(tables, name)[of_items]]) for name in PER_ITEM}
    return replace(tables, **per_item), slots.moved_to(place[:n_slots]), place[n_slots:]


def own_tables(exact: MatchModule, slots: Slots, rows: Int[Tensor, " text"]) -> MatchTables:
    """Float32 tables of own texts of the slots, given as the negative rows that slots have."""
    no_items: Float[Tensor, "item dim"] = exact.prior.new_zeros((0, exact.config.dim))
    with torch.inference_mode():
        tables = exact.tables(slots.vectors_of(no_items, rows))
        return replace(tables, **{name: getattr(tables, name).float() for name in PER_ITEM})
