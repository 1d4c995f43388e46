"""The match module over a catalogue: tables computed once per distinct text, then gather, attend, sum."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from feature_store.arrays import Float32Array, IntArray
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.kernels import PER_ITEM, MatchTables, Memories, PackedTables, PairCandidates, match_pairs
from recmem.matching.match_module import MatchModule
from recmem.matching.text_search import SearchBackend, TextSearch, text_search
from recmem.matching.text_similarity import SIMILARITIES, counted, similarities
from recmem.matching.user_memory import MemoryConfig, Slots

MATCH_FEATURES = (
    "match_raw",
    "match_prior",
    "similarity_max",
    "similarity_mean",
    "similarity_top3",
    "similarity_last",
)
"""What the texts say of a candidate: all that `ranker_without_match` goes without."""
BLOCK_CELLS = 30_000_000
"""Cosines (slots x candidates) that memories with common candidates hold at once."""


@dataclass(frozen=True, eq=False)
class Matcher:
    """A trained match module and its tables for a list of texts (the catalogue's rows, then any others)."""

    module: MatchModule
    tables: MatchTables
    memory: MemoryConfig
    _searches: dict[SearchBackend, TextSearch] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, module: MatchModule, unit: Float[Tensor, "item dim"], memory: MemoryConfig) -> Matcher:
        """The matcher over texts with these unit vectors."""
        with torch.inference_mode():
            return cls(module, module.tables(unit), memory)

    def with_texts(self, unit: Float[Tensor, "text dim"]) -> Matcher:
        """The same matcher with these texts' rows after its own."""
        if not len(unit):
            return self
        with torch.inference_mode():
            new = self.module.tables(unit.to(self.device))
            rows = {name: torch.cat([getattr(self.tables, name), getattr(new, name)]) for name in PER_ITEM}
        return replace(self, tables=replace(self.tables, **rows), _searches={})

    @cached_property
    def packed(self) -> PackedTables:
        """The tables as the pair kernels read them."""
        return PackedTables.of(self.tables)

    @property
    def device(self) -> torch.device:
        """Where the tables are, and where scores are computed."""
        return self.tables.unit.device

    def columns(self, histories: Histories, candidates: IntArray) -> dict[str, Float32Array]:
        """The match columns of every candidate for every history: float32[query, cand] each."""
        n_slots = np.minimum(histories.items.lengths, self.memory.held)
        blocks = _blocks(n_slots * len(candidates))
        parts = [self._columns(histories.take(rows), candidates) for rows in blocks]
        return {name: np.concatenate([part[name] for part in parts]) for name in MATCH_FEATURES}

    def _columns(self, histories: Histories, candidates: IntArray) -> dict[str, Float32Array]:
        slots = self.slots(histories)
        rows = torch.from_numpy(candidates).to(self.device)
        with torch.inference_mode():
            columns = {"match_raw": self.module(self.tables, slots, rows)}
            columns["match_prior"] = self.tables.prior[rows].expand(slots.n_memories, -1)
            columns |= similarities(self.tables.unit, slots, rows)
        return {name: column.cpu().numpy() for name, column in columns.items()}

    def pair_features(self, histories: Histories, candidates: Ragged) -> dict[str, Float32Array]:
        """The match columns of each history's own candidates: float32, one entry per value of `candidates`."""
        # What has no floating numbers is put together before it goes to a GPU, which would be waited for each time.
        slots = Slots.of(histories, self.memory)
        lengths = torch.bincount(slots.owner, minlength=slots.n_memories)
        offsets, is_counted = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]), counted(slots)
        slots, device = slots.to(self.device), self.device
        asked = PairCandidates(*(torch.from_numpy(part).to(device) for part in (candidates.values, candidates.offsets)))
        with torch.inference_mode():
            bias, sign = self.module.slot_terms(slots)
            memories = Memories(slots.rows, offsets.to(device), is_counted.to(device), bias, sign, slots.retrieved)
            scores = match_pairs(self.packed, memories, asked)
            names = dict(zip(MATCH_FEATURES, ("score", "prior", *SIMILARITIES), strict=True))
            columns = torch.stack([getattr(scores, name) for name in names.values()]).cpu().numpy()
        return dict(zip(names, columns, strict=True))

    def nearest(self, rows: IntArray, k: int, backend: SearchBackend) -> IntArray:
        """The `k` texts nearest to each of the given ones, best first: int64[row, k], -1 where fewer were found."""
        search = self._searches.get(backend)
        if search is None:
            # Two threads may both build it: the first one kept is used by all.
            search = self._searches.setdefault(backend, text_search(self.tables.unit, backend))
        return search.nearest(self.tables.unit[torch.from_numpy(rows).to(self.device)], k)

    def slots(self, histories: Histories) -> Slots:
        """The memories that the histories give: their newest events."""
        return Slots.of(histories, self.memory).to(self.device)


def _blocks(cells: IntArray) -> list[IntArray]:
    """Consecutive histories with about `BLOCK_CELLS` cells together, and one at the least."""
    number = np.cumsum(cells) // BLOCK_CELLS
    return np.split(np.arange(len(cells)), np.flatnonzero(np.diff(number)) + 1)
