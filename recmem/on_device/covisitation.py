"""Item-item features of pairs on a device: the sums of `feature_store.point_in_time.covisitation`, to the bit.

For query q, candidate c and weighting w, with the sum over the distinct items i of q's history, in their order:

    found[c, w] = sum_i weight[q, i, w] * model[i, c]

All models lie in one table: of each pair of items that has a weight in any of them, all weights. A cell is a pair of a
query and one of its history's items; each is looked up by binary search, and those that are found are multiplied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import Tensor

from feature_store.arrays import IntArray
from feature_store.point_in_time.covisitation import FEATURES, WEIGHTINGS, Covisitation, CovisitationConfig, decay
from feature_store.point_in_time.histories import Histories
from recmem.on_device.kept import Kept
from recmem.on_device.segments import Segments

BLOCK_CELLS = 1 << 23
"""Pairs x items of their history that are looked up at once: bounds the memory, some 60 bytes each."""
_HOW = tuple(dict.fromkeys(how for both in WEIGHTINGS.values() for how in both))
"""The weightings of a history, each once."""
_MODEL_OF_FEATURE = tuple(model for model in range(len(WEIGHTINGS)) for _ in range(2))
_HOW_OF_FEATURE = tuple(_HOW.index(how) for both in WEIGHTINGS.values() for how in both)
"""Column of the model's weight, and of the history's, for each of `FEATURES`."""


@dataclass(frozen=True, eq=False)
class ItemWeights:
    """The item-item models of one refresh on a device."""

    keys: Int[Tensor, " entry"]
    """Item of the history * n_items + candidate, ascending."""
    weights: Float32[Tensor, "entry model"]
    """0 where a model has none."""
    n_items: int
    config: CovisitationConfig

    @classmethod
    def of(cls, models: Covisitation, device: torch.device) -> ItemWeights:
        """The models on a device; made on the first call, and kept as long as the models are."""
        return _WEIGHTS.of(models, device, lambda: cls._of(models, device))

    @classmethod
    def _of(cls, models: Covisitation, device: torch.device) -> ItemWeights:
        n_items = models.n_items
        keys_of_models = []
        for model in models.models.values():
            items = np.repeat(np.arange(n_items), np.diff(model.indptr))
            keys_of_models.append(torch.from_numpy(items * n_items + model.indices).to(device))
        keys = torch.unique(torch.cat(keys_of_models))
        weights = torch.zeros((len(keys), len(keys_of_models)), device=device)
        for number, (own, model) in enumerate(zip(keys_of_models, models.models.values(), strict=True)):
            weights[torch.searchsorted(keys, own), number] = torch.from_numpy(model.data).to(device)
        return cls(keys, weights, n_items, models.config)

    def features(
        self, histories: Histories, candidates: Int[Tensor, " pair"], queries: Segments, n_candidates: IntArray
    ) -> Float32[Tensor, "pair feature"]:
        """`FEATURES` of each query's candidates; 0 for texts that are no items.

        `histories` are of catalogue items. `n_candidates`: of each query, on the host.
        """
        device = candidates.device
        found = torch.zeros((len(candidates), len(FEATURES)), device=device)
        if not len(self.keys) or not len(candidates):
            return found
        items = _DistinctItems.of(histories, self.n_items, self.config, device)
        n_distinct = items.segments.lengths.cpu().numpy()
        for begin, end in _blocks(n_candidates, n_distinct):
            found[begin:end] = self._of_pairs(items, candidates[begin:end], queries.index[begin:end])
        return found

    def _of_pairs(
        self, items: _DistinctItems, candidates: Int[Tensor, " pair"], query: Int[Tensor, " pair"]
    ) -> Float32[Tensor, "pair feature"]:
        n_items = items.segments.lengths[query]  # [pair]
        # [cell]: all items of the first pair's history, then those of the second, ...
        pair = torch.repeat_interleave(torch.arange(len(query), device=query.device), n_items)
        first_cell = n_items.cumsum(0) - n_items
        first_item = items.segments.offsets[query]
        item = torch.arange(len(pair), device=query.device) + (first_item - first_cell)[pair]
        # Texts behind the catalogue have no weights, and would look like another item's.
        wanted = items.items[item] * self.n_items + candidates[pair]
        wanted = torch.where(candidates[pair] < self.n_items, wanted, -1)
        entry = torch.searchsorted(self.keys, wanted).clamp(max=len(self.keys) - 1)
        # Few cells have a weight; to leave out the others changes no sum.
        hit = torch.nonzero(self.keys[entry] == wanted).squeeze(1)
        of_model = self.weights[entry[hit]][:, _MODEL_OF_FEATURE]
        of_history = items.weights[item[hit]][:, _HOW_OF_FEATURE]
        n_hits = torch.bincount(pair[hit], minlength=len(query))
        offsets = torch.cat([n_hits.new_zeros(1), n_hits.cumsum(0)])
        return Segments(offsets, len(hit)).sums(of_history * of_model)


_WEIGHTS: Kept[Covisitation, ItemWeights] = Kept()


@dataclass(frozen=True, eq=False)
class _DistinctItems:
    """The items of histories, in each history ascending and each once."""

    items: Int[Tensor, " item"]
    weights: Float32[Tensor, "item how"]
    """How much each counts, in each of `_HOW`."""
    segments: Segments
    """One per history."""

    @classmethod
    def of(cls, histories: Histories, n_items: int, config: CovisitationConfig, device: torch.device) -> _DistinctItems:
        events = Segments.of(histories.items, device)
        keys = events.index * n_items + torch.from_numpy(histories.items.values).to(device)
        order = torch.argsort(keys, stable=True)
        distinct, n_events = torch.unique_consecutive(keys[order], return_counts=True)
        offsets = torch.cat([n_events.new_zeros(1), n_events.cumsum(0)])
        # In float64, as on the CPU: there the order of an item's events does not show in what is rounded to float32.
        of_event = _weights_of_events(histories, config, device)[order].double()
        weights = Segments(offsets, len(order)).sums(of_event).float()
        weights[:, _HOW.index("all")] = 1
        begins = torch.arange(len(histories) + 1, device=device) * n_items
        return cls(distinct % n_items, weights, Segments(torch.searchsorted(distinct, begins), len(distinct)))


def _weights_of_events(
    histories: Histories, config: CovisitationConfig, device: torch.device
) -> Float32[Tensor, "event how"]:
    """How much each event counts, looked up by its age: powers differ in their last bit from device to device."""
    ages = np.arange(int(histories.recency.max(initial=0)) + 1)
    fast, slow = config.half_lives
    by_age = {
        "all": np.ones(len(ages), np.float32),
        "slow": decay(ages, slow),
        "fast": decay(ages, fast),
        "last": (ages == 0).astype(np.float32),
    }
    table = torch.from_numpy(np.stack([by_age[how] for how in _HOW], axis=1)).to(device)
    return table[torch.from_numpy(histories.recency).to(device)]


def _blocks(n_candidates: IntArray, n_items: IntArray) -> Iterator[tuple[int, int]]:
    """Ranges of pairs with about `BLOCK_CELLS` cells each."""
    cells = np.cumsum(n_candidates * n_items)
    ends = np.cumsum(n_candidates)
    # Whole queries, then what is longer than a block in pieces.
    last_of_block = np.flatnonzero(np.append(np.diff(cells // BLOCK_CELLS) > 0, True))
    block_ends = [0, *ends[last_of_block].tolist()]
    block_cells = np.diff(cells[last_of_block], prepend=0).tolist()
    for (begin, end), n_cells in zip(pairwise(block_ends), block_cells, strict=True):
        n_pieces = max(n_cells // BLOCK_CELLS, 1)
        yield from pairwise(np.linspace(begin, end, n_pieces + 1).astype(np.int64).tolist())
