"""Sums, z-scores and ranks within the queries of a batch, whose pairs lie one query after the other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float32, Float64, Int
from torch import Tensor

from feature_store.ragged import Ragged
from recmem.ranking.normalise import SMALLEST_SPREAD


@dataclass(frozen=True, eq=False)
class Segments:
    """Rows of unequal length on a device, as `Ragged` has them: row `r` is `offsets[r] .. offsets[r + 1]`."""

    offsets: Int[Tensor, " segment_and_one"]
    n_values: int
    """What the last offset is, known without waiting for the device."""

    @classmethod
    def of(cls, ragged: Ragged, device: torch.device) -> Segments:
        """The rows of a ragged array."""
        return cls(torch.from_numpy(ragged.offsets).to(device), len(ragged.values))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Int[Tensor, " segment"]:
        """How many values each row has."""
        return self.offsets.diff()

    @cached_property
    def index(self) -> Int[Tensor, " value"]:
        """The row of each value."""
        rows = torch.arange(len(self), device=self.offsets.device)
        return torch.repeat_interleave(rows, self.lengths, output_size=self.n_values)

    def sums(self, values: Float[Tensor, "value column"]) -> Float[Tensor, "segment column"]:
        """The sums of each row's values, added one after the other in their order: the same bits on every device.

        Sums by atomic additions, as of `index_add`, would have another order in each run.
        """
        if not len(self) or not values.shape[1]:
            return values.new_zeros((len(self), values.shape[1]))  # CUDA launches no kernel of nothing
        # CUDA adds a single column in another order.
        single = values.shape[1] == 1
        wide = values.expand(-1, 2).contiguous() if single else values
        sums: Tensor = torch.segment_reduce(wide, "sum", offsets=self.offsets, axis=0, initial=0, unsafe=True)
        return sums[:, :1] if single else sums


def z_scores(values: Float32[Tensor, "pair column"], queries: Segments) -> Float32[Tensor, "pair column"]:
    """See `recmem.ranking.normalise.z_scores`, which gives the same bits; here a row is a pair."""
    is_known = torch.isfinite(values)
    filled = torch.where(is_known, values, 0).double()
    n_known = queries.sums(is_known.double()).clamp(min=1)  # [query, column]
    mean = queries.sums(filled) / n_known
    centred = torch.where(is_known, filled - mean[queries.index], 0)
    deviation = (queries.sums(centred * centred) / n_known).sqrt()
    # A z-score of 0 where the values of a query are all alike.
    spread = torch.where(deviation < SMALLEST_SPREAD, torch.inf, deviation)
    scores = centred / spread[queries.index]
    return torch.where(is_known, scores, torch.nan).float()


def ranks(scores: Float64[Tensor, " pair"], queries: Segments) -> Int[Tensor, " pair"]:
    """See `recmem.ranking.normalise.ranks`: 1 for the largest of its query, equal scores share the better rank."""
    # By query, and within each query by score, the best first.
    by_score = torch.argsort(-scores)
    order = by_score[torch.argsort(queries.index[by_score], stable=True)]
    sorted_scores = scores[order]
    # A query's pairs take the places that they had, in another order.
    place = torch.arange(len(scores), device=scores.device)
    first_place = queries.offsets[:-1][queries.index]
    # Equal scores take the place of the first of them.
    is_new_score = place == first_place
    is_new_score[1:] |= sorted_scores[1:] != sorted_scores[:-1]
    shared_place = torch.cummax(torch.where(is_new_score, place, 0), 0).values if len(scores) else place
    result = torch.empty_like(place)
    result[order] = shared_place - first_place + 1
    return result
