"""The match module over a catalogue: per-text tables, computed once, from which all match features are read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from feature_store.arrays import Float32Array, IntArray
from feature_store.point_in_time.histories import Histories
from feature_store.ragged import Ragged
from recmem.kernels import MatchTables, Memories, PackedTables, PairCandidates, match_pairs
from recmem.matching.consolidation import consolidated
from recmem.matching.gathered_tables import gathered
from recmem.matching.match_module import MatchModule, term_of
from recmem.matching.rounded_tables import exact_module, rounded_tables
from recmem.matching.text_search import SearchBackend, TextSearch, text_search
from recmem.matching.text_similarity import SIMILARITIES, compared_slots
from recmem.matching.user_memory import MemoryConfig, Slots, remembered
from recmem.text.torch_device import sent

MATCH_FEATURES = ("match_raw", "match_prior", *SIMILARITIES)
"""The features that come from texts, in the order of `recmem.kernels.pairs.OUTPUTS`.

The ranker without the match is trained without them.
"""


@dataclass(frozen=True, eq=False)
class Matcher:
    """A trained match module applied to a list of texts: the catalogue's, then any that callers add.

    The module's tables hold one row per text, so that scoring a pair only gathers rows, attends and sums.
    """

    module: MatchModule
    packed: PackedTables
    """The tables as the pair kernels read them, see `recmem.matching.rounded_tables`."""
    memory: MemoryConfig
    _searches: dict[SearchBackend, TextSearch] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, module: MatchModule, unit: Float[Tensor, "item dim"], memory: MemoryConfig) -> Matcher:
        """The matcher over the texts with these unit vectors, on the module's device."""
        return cls(module, PackedTables.of(rounded_tables(exact_module(module), unit)), memory)

    def __getstate__(self) -> dict[str, object]:
        """For copies and other processes: without searches, which are built when needed and may have no copy."""
        return self.__dict__ | {"_searches": {}}

    def with_texts(self, unit: Float[Tensor, "text dim"]) -> Matcher:
        """The same matcher with further texts, whose rows come after its own."""
        if not len(unit):
            return self
        added = PackedTables.of(rounded_tables(self._exact, unit))
        return replace(self, packed=self.packed.followed_by(added), _searches={})

    @cached_property
    def tables(self) -> MatchTables:
        """The tables one by one: views of `packed`, in part float16."""
        return self.packed.separate()

    @property
    def device(self) -> torch.device:
        """Where the tables are, and where scores are computed."""
        return self.packed.unit.device

    def features(self, histories: Histories, candidates: IntArray) -> dict[str, Float32Array]:
        """The match features of every candidate for every history: float32[query, cand] each."""
        shape = (len(histories), len(candidates))
        # By the kernels for candidates of each memory's own: dense products of slots and items take several passes.
        of_each = Ragged.from_lengths(np.tile(candidates, shape[0]), np.full(*shape))
        return {name: column.reshape(shape) for name, column in self.pair_features(histories, of_each).items()}

    def pair_features(self, histories: Histories, candidates: Ragged) -> dict[str, Float32Array]:
        """The match features of each history's own candidates: float32, one entry per value of `candidates`."""
        # One tensor, so that a GPU copies its result once.
        features = self.pair_columns(histories, candidates).cpu().numpy()
        return dict(zip(MATCH_FEATURES, features, strict=True))

    def pair_columns(self, histories: Histories, candidates: Ragged) -> Float[Tensor, "feature pair"]:
        """The same on the matcher's device, in the order of `MATCH_FEATURES`."""
        # All but tables and terms stays on the host, where the kernel's request is put together: on a GPU each step of
        # this would be a copy, a launch or a wait, and a small request is made of little else.
        slots = self._slots_on_cpu(histories)
        lengths = torch.bincount(slots.memory_index, minlength=slots.n_memories)
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])  # [memory + 1]
        is_compared = compared_slots(slots)
        has_own = slots.own is not None
        with torch.inference_mode():
            tables, slots, rows = self.placed(slots, torch.from_numpy(candidates.values))
            memories = Memories(
                slots.rows, offsets, is_compared, term_of(slots), *self._terms, retrieved=slots.retrieved
            )
            pairs = PairCandidates(rows, torch.from_numpy(candidates.offsets))
            return match_pairs(PackedTables.of(tables) if has_own else self.packed, memories, pairs).columns

    def unit_on_host(self, rows: IntArray) -> tuple[Float[Tensor, "item dim"], Int[Tensor, " row"]]:
        """A table on the host that has the unit vectors of these texts, and their rows there.

        It is the matcher's own where that is on the host; else the vectors are fetched at once.
        """
        found = torch.from_numpy(rows)
        if self.device.type == "cpu":
            return self.tables.unit, found
        return self.tables.unit[sent(found, self.device)].cpu(), torch.arange(len(rows))

    def nearest_to(self, vectors: Float[Tensor, "query dim"], k: int, backend: SearchBackend) -> IntArray:
        """The `k` texts most similar to each unit vector, best first: int64[query, k], -1 if fewer are found."""
        if not len(vectors):
            return np.empty((0, k), np.int64)
        search = self._searches.get(backend)
        if search is None:
            # Two threads may both build it: the first one kept is used by all.
            search = self._searches.setdefault(backend, text_search(self.tables.unit, backend))
        return search.nearest(vectors.to(self.device), k)

    def remembered(self, histories: Histories) -> Histories:
        """What the memories of the histories are made of, which `slots` makes slots of."""
        return remembered(consolidated(histories, self.memory, self.tables.unit), self.memory)

    def slots(self, histories: Histories) -> Slots:
        """The memories of the histories, see `recmem.matching.user_memory.remembered`."""
        return self._slots_on_cpu(histories).to(self.device)

    def _slots_on_cpu(self, histories: Histories) -> Slots:
        return Slots.of(consolidated(histories, self.memory, self.tables.unit), self.memory)

    def placed(self, slots: Slots, candidates: Int[Tensor, " cand"]) -> tuple[MatchTables, Slots, Int[Tensor, " cand"]]:
        """Tables that hold all texts of the slots, and slots and candidates with their rows there.

        They are the matcher's own, unless slots have texts that are in no item table. Tables are on the matcher's
        device, slots and candidates where they were, both on that device or both on the host.
        """
        if slots.own is None:
            return self.tables, slots, candidates
        return gathered(self.tables, self._exact, slots, candidates)

    @cached_property
    def _terms(self) -> tuple[Float[Tensor, "term head"], Float[Tensor, "term head"]]:
        """Bias and sign by kind and age, on the matcher's device."""
        with torch.inference_mode():
            return self.module.terms()

    @cached_property
    def _exact(self) -> MatchModule:
        return exact_module(self.module)
